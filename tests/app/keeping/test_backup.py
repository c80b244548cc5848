"""A backup is whole or none, an incremental one copies what is new, and what comes back is what was there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import schema
from app.cli import cli
from app.db import Database
from app.errors import AppError
from app.keeping import backup, manifest, restore
from app.keeping.commands import storage_of
from app.main import create_app
from app.settings import Settings
from app.storage import Storage
from ml.contract.events import Finished
from tests.app.keeping.conftest import House
from tests.app.runs.test_checkpoints import STATES, WHO


@contextmanager
def opened(settings: Settings) -> Iterator[TestClient]:
    """The app on these settings."""
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000)) as client:
        yield client
    app.state.database.dispose()


def nothing_in(settings: Settings) -> bool:
    """No table, no file."""
    if settings.database.startswith("sqlite") and not (settings.data_dir / "pairboard.db").exists():
        return next(storage_of(settings).files(), None) is None
    database = Database(settings.database)
    found = schema.current(database.read_engine)
    database.dispose()
    return found is None and next(storage_of(settings).files(), None) is None


def test_what_comes_back_is_what_was_there(house: House, empty: Settings) -> None:
    first = house.line.client.get("/api/v1/experiments/1").json()
    made = house.back_up()
    assert made.manifest.rows == {"contests": 1, "experiments": 2, "runs": 2, "scores": 4}
    assert made.copied.files == len(made.manifest.files) == 5
    done = restore.restore(empty, storage_of(empty), made.folder, force=False)
    assert (done.copied.files, done.set_aside, done.runs_returned) == (5, "", 1)
    with opened(empty) as client:
        assert client.get("/api/v1/experiments/1").json() == first
        assert client.get("/api/v1/runs/1/artifacts/model.safetensors").content == b"weights"
        assert "0.81250" in client.get("/contests/oppo").text


def test_a_run_under_way_is_fenced_and_goes_on_from_its_checkpoint(house: House, empty: Settings) -> None:
    """Its worker, which still works, went further than the backup knows: it stops, and nothing is double."""
    house_line, run_id = house.line, house.line.run_id
    restore.restore(empty, storage_of(empty), house.back_up().folder, force=False)
    with opened(empty) as client:
        run = client.get(f"/api/v1/runs/{run_id}").json()
        assert run["status"] == "queued"
        (attempt,) = run["attempts"]
        assert attempt["outcome"] == "returned"
        assert attempt["reason"].startswith("restored from the backup of 2")
        stale = client.post(f"/api/v1/runs/{run_id}/heartbeat", headers=house_line.mine)
        assert stale.status_code == 409
        later = {"Authorization": "Bearer pb-attempt_of-after-the-backup"}
        assert client.post(f"/api/v1/runs/{run_id}/heartbeat", headers=later).status_code == 401
        claimed = client.post(f"/api/v1/runs/{run_id}/claim", json=WHO, headers=house_line.headers).json()
        assert claimed["job"]["attempt"] == 2
        saved = [item for item in claimed["job"]["inputs"] if item["role"] == "checkpoint"]
        assert [item["name"] for item in saved] == ["checkpoint-20.safetensors", "checkpoint-10.safetensors"]
        mine = {"Authorization": f"Bearer {claimed['token']}"}
        got = client.get(f"/api/v1/runs/{run_id}/inputs/{saved[0]['sha256']}", headers=mine)
        assert got.content == STATES[20]
    assert house_line.client.get(f"/api/v1/runs/{run_id}").json()["status"] == "running", "the first one goes on"


def test_a_second_backup_copies_what_is_new(house: House) -> None:
    first = house.back_up()
    before = {path: path.stat().st_ino for path in (house.backups / "files").rglob("*") if path.is_file()}
    again = house.back_up()
    assert (again.copied.files, again.copied.size, again.copied.there) == (0, 0, 5)
    house.line.save(30)
    third = house.back_up()
    assert (third.copied.files, third.copied.size, third.copied.there) == (1, len(STATES[30]), 5)
    assert all(path.stat().st_ino == inode for path, inode in before.items())
    assert manifest.backups(house.backups) == [first.folder, again.folder, third.folder]
    assert manifest.chosen(house.backups) == third.folder
    assert restore.check(first.folder).files == first.manifest.files


def test_old_backups_go_when_asked(house: House) -> None:
    house.back_up()
    house.line.save(30)
    house.line.say(Finished(seconds=1))
    database = Database(house.settings.database)
    with database.writing() as session:
        for row in restore.worker_service.queries.needless_checkpoints(session):
            session.delete(row)
    database.dispose()
    last = house.back_up()
    states = len(STATES[10]) + len(STATES[20])
    assert backup.forget_all_but(house.backups, 1) == (1, states)
    assert manifest.backups(house.backups) == [last.folder]
    assert restore.check(last.folder) == last.manifest


def test_half_a_backup_passes_for_none(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.Manifest, "model_dump_json", full)
    with pytest.raises(AppError, match=r"can't be written to \(No space left on device\); no backup was made"):
        house.back_up()
    monkeypatch.undo()
    assert manifest.backups(house.backups) == []
    (house.backups / ".making-2026-01-01T00-00-00Z").mkdir()  # of one that was killed
    with pytest.raises(AppError, match=r"holds no backup \(half of one is there"):
        manifest.chosen(house.backups)
    made = house.back_up()
    assert made.copied.there == 5, "what was copied before counts"
    assert not list(house.backups.glob(".making-*"))


def spoil_file(made: backup.Made) -> Path:
    sha256 = next(iter(made.manifest.files))
    return manifest.files_of(made.folder.parent).path(sha256)


def spoil_dump(made: backup.Made) -> Path:
    return made.folder / made.manifest.database_file


@pytest.mark.parametrize("which", [spoil_file, spoil_dump])
def test_damage_is_found_before_anything_is_changed(
    house: House, empty: Settings, which: Callable[[backup.Made], Path]
) -> None:
    made = house.back_up()
    path = which(made)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for spoiled in (flipped, whole[:-1], None):
        path.unlink()
        if spoiled is not None:
            path.write_bytes(spoiled)
        with pytest.raises(AppError, match=rf"1 parts of the backup are not right: {path} is (missing|damaged)"):
            restore.restore(empty, storage_of(empty), made.folder, force=False)
        assert nothing_in(empty)
    told = made.folder / manifest.NAME
    path.write_bytes(whole)
    told.write_text(told.read_text()[:-20])
    with pytest.raises(AppError, match="is damaged, or of another pairboard"):
        restore.restore(empty, storage_of(empty), made.folder, force=False)
    assert nothing_in(empty)


def test_a_newer_backup_is_refused(house: House, empty: Settings) -> None:
    made = house.back_up()
    told = made.folder / manifest.NAME
    told.write_text(told.read_text().replace(made.manifest.revision, "20991231_later"))
    with pytest.raises(AppError, match=r"at migration 20991231_later, which this pairboard .* does not know"):
        restore.restore(empty, storage_of(empty), made.folder, force=False)
    assert nothing_in(empty)


def test_an_older_backup_is_migrated(older_url: str, tmp_path: Path, empty: Settings) -> None:
    database = Database(older_url)
    schema.upgrade(database.write_engine, "20261123_run_needs")
    with database.write_engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO contests (id, slug, name, metric, note, created_at) "
            "VALUES (1, 'old', 'old', 'roc_auc', '', '2026-01-01 00:00:00')"
        )
    database.dispose()
    old = Settings(data_dir=tmp_path / "data", database_url=older_url)  # type: ignore[arg-type]
    made = backup.make(old, storage_of(old), tmp_path / "backups")
    assert made.manifest.revision == "20261123_run_needs"
    restore.restore(empty, storage_of(empty), made.folder, force=False)
    with opened(empty) as client:
        assert client.get("/api/v1/contests/old").json()["name"] == "old"


def test_what_is_there_is_refused_or_set_aside(house: House, empty: Settings, client: TestClient) -> None:
    made = house.back_up()
    restore.restore(empty, storage_of(empty), made.folder, force=False)
    house.line.client.post("/api/v1/contests", json={"name": "later", "slug": "later"})
    later = house.back_up()
    with pytest.raises(AppError, match=r"is not empty; nothing was changed: .*--force brings the backup in beside"):
        restore.restore(empty, storage_of(empty), later.folder, force=False)
    with opened(empty) as running:
        assert running.get("/api/v1/contests").is_success
        with pytest.raises(AppError, match="stop pairboard first"):
            restore.restore(empty, storage_of(empty), later.folder, force=True)
    done = restore.restore(empty, storage_of(empty), later.folder, force=True)
    assert (done.copied.files, done.copied.there) == (0, 5)
    with opened(empty) as running:
        assert {item["slug"] for item in running.get("/api/v1/contests").json()} == {"oppo", "later"}
    if empty.database.startswith("sqlite"):
        kept = Database(f"sqlite:///{done.set_aside}")
        query = "SELECT slug FROM contests"
    else:
        kept = Database(empty.database)
        query = f'SELECT slug FROM "{done.set_aside.removeprefix("schema ")}".contests'
    with kept.read_engine.connect() as connection:
        assert connection.exec_driver_sql(query).all() == [("oppo",)]
    kept.dispose()


def test_a_restore_that_fails_leaves_what_was_there(house: House, empty: Settings) -> None:
    """--force, and then the database does not take the dump."""
    made = house.back_up()
    restore.restore(empty, storage_of(empty), made.folder, force=False)
    dumped = made.folder / made.manifest.database_file
    dumped.write_bytes(b"PGDMP or SQLite format 3, but not really")
    told = made.manifest.model_copy(update={"database_sha256": backup.sha256_of(dumped)})
    (made.folder / manifest.NAME).write_text(told.model_dump_json())
    with pytest.raises(Exception, match=r"pg_restore|not a database"):
        restore.restore(empty, storage_of(empty), made.folder, force=True)
    with opened(empty) as running:
        assert running.get("/api/v1/experiments/1").json()["scores"]


def test_nothing_is_removed_while_it_is_copied(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    copy = backup.copy_file

    def copy_slowly(source: Storage, target: Storage, sha256: str, size: int) -> bool:
        tried.append(source.remove(sha256, unless=lambda: False, unseen_s=0))
        return copy(source, target, sha256, size)

    monkeypatch.setattr(backup, "copy_file", copy_slowly)
    assert not house.back_up().manifest.missing
    assert tried == [None] * 5


def test_one_backup_at_a_time(house: House) -> None:
    with backup._alone(house.backups), pytest.raises(AppError, match=r"another backup into .* is under way"):
        house.back_up()
    with pytest.raises(AppError, match="lies inside of"):
        backup.make(house.settings, house.storage, house.storage.root / "backups")


def test_the_commands(house: House, empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(settings: Settings, *args: str) -> tuple[int, str]:
        monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(settings.data_dir))
        monkeypatch.setenv("PAIRBOARD_DATABASE_URL", settings.database)
        done = CliRunner().invoke(cli, list(args))
        return done.exit_code, f"{done.output}{done.exception or ''}"

    where = str(house.backups)
    lost = house.storage.path(next(stored.sha256 for stored in house.storage.files() if stored.size == 7))
    damaged = house.storage.path(next(stored.sha256 for stored in house.storage.files() if stored.path != lost))
    whole = {path: path.read_bytes() for path in (lost, damaged)}
    lost.unlink()
    damaged.write_bytes(whole[damaged][:-1] + b"?")
    code, text = told(house.settings, "backup", where)
    assert code != 0
    assert "the backup is made, but 2 files that the database names could not be copied" in text
    assert "is gone from storage" in text
    assert "holds other bytes" in text
    for path, content in whole.items():
        path.write_bytes(content)
    code, text = told(house.settings, "backup", where, "--keep", "1")
    assert code == 0, text
    assert "2 files copied" in text
    assert "1 older backups removed" in text
    assert "1 contests, 2 experiments, 2 runs, 4 scores" in text
    code, text = told(empty, "restore", where, "--check")
    assert code == 0, text
    assert "is whole: 5 files and the database" in text
    assert nothing_in(empty)
    code, text = told(empty, "restore", where)
    assert code == 0, text
    assert "1 runs that were under way wait in the queue again" in text
    assert "5 files copied" in text
    with opened(empty) as client:
        assert client.get("/api/v1/experiments/1").json()["scores"]
