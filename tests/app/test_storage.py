"""Files by their hash: whole or not at all."""

import hashlib
import io
import os
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
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first.path]


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
