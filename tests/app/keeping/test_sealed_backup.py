"""A sealed contest comes back from a backup and goes on; its answers lie there as closed as at home."""

import stat
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.errors import AppError
from app.keeping import backup, restore
from app.keeping.commands import storage_of
from app.sealed import answers
from app.settings import Settings
from tests.app.keeping.test_backup import opened
from tests.app.sealed.house import URL, House, file_of, headers_of, predictions


def made(client: TestClient, worker_headers: dict[str, str], settings: Settings, app: FastAPI, to: Path) -> backup.Made:
    house = House(client, worker_headers)
    house.make()
    house.send(file_of(predictions(1)), headers_of(client, "ann"))
    return backup.make(settings, app.state.storage, to)


def test_a_restored_contest_goes_on(
    client: TestClient,
    app: FastAPI,
    settings: Settings,
    empty: Settings,
    worker_headers: dict[str, str],
    tmp_path: Path,
) -> None:
    kept = made(client, worker_headers, settings, app, tmp_path / "backups")
    (copy,) = (kept.folder / "sealed").iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    restore.restore(empty, storage_of(empty), kept.folder, force=False)
    (home,) = answers.folder_of(empty).iterdir()
    assert (home.name, stat.S_IMODE(home.stat().st_mode)) == (copy.name, 0o600)
    sent = {"files": {"file": ("x.tsv", file_of(predictions(2)))}}
    here = client.post(f"{URL}/uploads", **sent).json()["public_score"]  # type: ignore[arg-type]
    with opened(empty) as second:
        assert second.get(f"{URL}/board").json()[0]["name"] == "ann"
        assert second.post(f"{URL}/uploads", **sent).json()["public_score"] == here  # type: ignore[arg-type]


def test_damaged_answers_are_noticed_before_anything_is_changed(
    client: TestClient,
    app: FastAPI,
    settings: Settings,
    empty: Settings,
    worker_headers: dict[str, str],
    tmp_path: Path,
) -> None:
    kept = made(client, worker_headers, settings, app, tmp_path / "backups")
    (copy,) = (kept.folder / "sealed").iterdir()
    copy.write_bytes(copy.read_bytes()[:-1])
    with pytest.raises(AppError, match="is damaged"):
        restore.restore(empty, storage_of(empty), kept.folder, force=False)
    copy.unlink()
    with pytest.raises(AppError, match="is missing"):
        restore.check(kept.folder)
    assert not answers.folder_of(empty).exists()
