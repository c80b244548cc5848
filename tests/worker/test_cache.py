"""What was not used for longest goes first, and only as much as must."""

import logging
import os
from pathlib import Path

import pytest

from worker.cache import GIGABYTE, Cache


@pytest.fixture
def full(tmp_path: Path) -> Cache:
    """Three things of 1,000 bytes, used one after the other: an input, tokenised data, an input."""
    cache = Cache(tmp_path / "cache", 2500 / GIGABYTE)
    (cache.data / "key").mkdir(parents=True)
    (cache.data / "key" / "ids.npy").write_bytes(bytes(400))
    (cache.data / "key" / "offsets.npy").write_bytes(bytes(600))
    for name in ("a" * 64, "b" * 64):
        (cache.folder / name).write_bytes(bytes(1000))
    for when, path in enumerate((cache.folder / ("a" * 64), cache.data / "key", cache.folder / ("b" * 64))):
        os.utime(path, (when, when))
    return cache


def test_the_least_recently_used_goes(full: Cache, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        full.make_room()
    assert sorted(path.name for path in full.folder.iterdir()) == ["b" * 64, "data"]
    assert (full.data / "key" / "ids.npy").is_file()
    assert "of 2.5e-06 GB left" in caplog.text


def test_what_is_taken_counts_as_used(full: Cache) -> None:
    assert full.place_of("a" * 64).is_file()
    full.make_room()
    assert sorted(path.name for path in full.folder.iterdir()) == ["a" * 64, "b" * 64, "data"]
    assert list(full.data.iterdir()) == []


def test_what_fits_stays(full: Cache, tmp_path: Path) -> None:
    Cache(full.folder, 3000 / GIGABYTE).make_room()
    assert len(list(full.folder.iterdir())) == 3
    Cache(tmp_path / "nothing there yet", 1).make_room()
