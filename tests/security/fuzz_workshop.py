"""What the rooms of fuzz work in: a folder, and a database whose sessions are undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app import schema
from app.contests.models import Contest
from app.db import Database
from app.runs import service as runs
from app.runs.service import Claimed
from app.storage import Storage
from tests.app.runs.test_lifecycle import LEASE, without_pretrain
from tests.factories import make_contest, make_experiment, make_file, storage_in


@dataclass(frozen=True)
class Held:
    """A run that a worker has."""

    run_id: int
    claimed: Claimed


class Workshop:
    """Made once for a campaign; close it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: list[Database] = []

    @cached_property
    def storage(self) -> Storage:
        """Takes what uploads take."""
        return storage_in(self.folder)

    @cached_property
    def database(self) -> Database:
        """Migrated, with a contest."""
        made = Database(f"sqlite:///{self.folder / 'fuzz.db'}")
        self._open.append(made)
        schema.upgrade(made.write_engine)
        return made

    @cached_property
    def held(self) -> Held:
        """A finetune run without pretrain, claimed."""
        with self.database.writing() as session:
            contest: Contest = make_contest(session)
            make_file(session, self.storage, contest)
            _, (run,) = make_experiment(session, contest, config=without_pretrain())
            return Held(run.id, runs.claim(session, run.id, worker="w1", boot_id="boot-one", lease=LEASE))

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Whatever is done in it is undone, commits included."""
        with self.database.write_engine.connect() as connection:
            outer = connection.begin()
            kept: dict[str, Any] = {"join_transaction_mode": "create_savepoint", "expire_on_commit": False}
            with Session(connection, **kept) as inner:
                yield inner
            outer.rollback()

    def write(self, name: str, content: bytes) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    def close(self) -> None:
        """Let go of the database."""
        for database in self._open:
            database.dispose()
