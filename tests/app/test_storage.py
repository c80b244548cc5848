"""Files by their hash: whole or not at all."""

import hashlib
import io
import os
import threading
import time
from pathlib import Path

import pytest

from app.errors import TooLarge
from app.storage import Storage


def test_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 1000)
    first, again = (storage.store(io.BytesIO(b"pairs")) for _ in range(2))
    assert first == again
    assert first.path.read_bytes() == b"pairs"
    assert first.sha256 == hashlib.sha256(b"pairs").hexdigest()
    assert [path for path in tmp_path.rglob("[!.]*") if path.is_file()] == [first.path]


def test_too_large_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="larger than 1 MiB: raise PAIRBOARD_MAX_UPLOAD_MB"):
        Storage(tmp_path, 1 << 20).store(io.BytesIO(b"x" * ((1 << 20) + 1)))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_broken_upload_leaves_nothing(tmp_path: Path) -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise OSError("torn")
            return super().read(4)

    with pytest.raises(OSError, match="torn"):
        Storage(tmp_path, 1000).store(Torn(b"half and more"))
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_what_a_killed_process_left_is_removed_and_what_is_under_way_stays(tmp_path: Path) -> None:
    old, new = tmp_path / "incoming-old", tmp_path / "incoming-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    Storage(tmp_path, 1000).forget_torn()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_file_goes_only_when_nobody_needs_it(tmp_path: Path) -> None:
    storage = Storage(tmp_path, 1000)
    sha256 = storage.store(io.BytesIO(b"pairs")).sha256
    assert list(storage.files()) == [storage.find(sha256, 5)]
    assert storage.remove(sha256, unless=lambda: False) is None, "it is new"
    os.utime(storage.path(sha256), (0, 0))
    with storage.steady():
        assert storage.remove(sha256, unless=lambda: False, unseen_s=0) is None, "somebody needs the folder as it is"
    assert storage.remove(sha256, unless=lambda: True) == 0, "a row names it"
    storage.find(sha256, 5)
    assert storage.remove(sha256, unless=lambda: False) is None, "somebody asked for it just now"
    os.utime(storage.path(sha256), (0, 0))
    assert storage.remove(sha256, unless=lambda: False) == 5
    assert storage.find(sha256, 5) is None
    assert storage.remove(sha256, unless=lambda: False) == 0


def test_what_is_asked_for_while_it_is_removed_is_not_found(tmp_path: Path) -> None:
    """Or a row would name a file that is gone a moment later."""
    storage = Storage(tmp_path, 1000)
    sha256 = storage.store(io.BytesIO(b"pairs")).sha256
    os.utime(storage.path(sha256), (0, 0))
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(storage.find(sha256, 5)))

    def is_named() -> bool:
        asking.start()
        time.sleep(0.3)
        return False

    assert storage.remove(sha256, unless=is_named) == 5
    asking.join()
    assert found == [None]
