"""The health check of a worker's container, beside a real worker in tests/test_compose.py."""

import os
import time
from pathlib import Path

import pytest

from worker import alive
from worker.settings import WorkerSettings


def test_silence_is_told(tmp_path: Path) -> None:
    settings = WorkerSettings(dir=tmp_path / "w", heartbeat_seconds=10)
    assert "no worker has run in" in alive.problem(settings)
    settings.folder.mkdir()
    alive.note(settings)
    assert alive.problem(settings) == ""
    long_ago = time.time() - 101
    os.utime(settings.folder / "alive", (long_ago, long_ago))
    assert "was last alive 101 s ago" in alive.problem(settings)


def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PAIRBOARD_WORKER_DIR", str(tmp_path))
    monkeypatch.setenv("PAIRBOARD_WORKER_TOKEN_FILE", str(tmp_path / "none"))
    assert alive.main() == 1
    assert f"leave one in {tmp_path / 'none'} (No such file or directory)" in capsys.readouterr().err
    (tmp_path / "none").write_text("pb-worker_x\n")
    assert alive.main() == 1
    (tmp_path / "alive").touch()
    assert alive.main() == 0
