"""Counts that need a whole pass over data files, made once and kept: called by pages and REST at the first look.

Small files are counted while the reader waits; larger ones after the answer has left, and the page says so. The row of
a fact is claimed before it is counted, so that several web processes do not count the same.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.contests import queries
from app.contests.leak_program import audited
from app.contests.models import ContestFile, DataFact
from app.contests.rows_at import pair_file
from app.contests.sentences import Components, Overlap, Repeats, Sentences, components, overlap, read_sentences, repeats
from app.db import Database, clock
from app.storage import Storage
from ml.contract.fingerprint import digest
from ml.contract.leaks import AuditAnswer

log = logging.getLogger(__name__)

What = Literal["components", "repeats", "overlap", "audit"]
#: of all files together that are counted while a reader waits: about two seconds
SMALL_ROWS = 200_000
GIVEN_UP_AFTER = timedelta(minutes=30)
#: a change of what is counted, or how, makes another key
_VERSION = 1


@dataclass(frozen=True)
class Want:
    """Something to be known: components or repeats of one file, what the second shares with the first, or a leak audit
    of them (auditing.want), `asked` for with settings as JSON."""

    what: What
    files: tuple[ContestFile, ...]
    asked: str = ""

    @property
    def key(self) -> str:
        """The same bytes, read the same way, give the same."""
        files = [[file.sha256, file.layout_digest, file.kind] for file in self.files]
        known = {"what": self.what, "version": _VERSION, "files": files}
        return digest({**known, "asked": self.asked} if self.asked else known)


Body = Components | Repeats | Overlap | AuditAnswer


@dataclass(frozen=True)
class Known:
    """What is known, how long that took, and what is still being counted, or has to be: `later`."""

    bodies: Mapping[str, Body]
    seconds: Mapping[str, float]
    later: Sequence[Want]

    @property
    def rows_to_read(self) -> int:
        """Of all files that have still to be counted."""
        return sum(file.rows for file in {file.id: file for want in self.later for file in want.files}.values())

    def components(self, file: ContestFile) -> Components | None:
        """Of a file."""
        found = self.bodies.get(Want("components", (file,)).key)
        return found if isinstance(found, Components) else None

    def repeats(self, file: ContestFile) -> Repeats | None:
        """Of a file."""
        found = self.bodies.get(Want("repeats", (file,)).key)
        return found if isinstance(found, Repeats) else None

    def audit(self, want: Want) -> AuditAnswer | None:
        """Of a split."""
        found = self.bodies.get(want.key)
        return found if isinstance(found, AuditAnswer) else None

    def overlap(self, base: ContestFile, other: ContestFile) -> Overlap | None:
        """Of two files."""
        found = self.bodies.get(Want("overlap", (base, other)).key)
        return found if isinstance(found, Overlap) else None


def look(
    session: Session, database: Database, storage: Storage, wants: Sequence[Want], small: int | None = None
) -> Known:
    """What is known of these; what is not is counted now if the files are small. Call `count` with `later` after the
    answer has left. Never within a transaction that writes: each count has one of its own."""
    found = known(session, wants)
    if found.later and found.rows_to_read <= (SMALL_ROWS if small is None else small):
        count(database, storage, found.later)
        with database.reading() as fresh:  # the session may go on seeing the state it began with
            found = known(fresh, wants)
    return found


def known(session: Session, wants: Sequence[Want]) -> Known:
    """The same without counting anything."""
    rows = queries.data_facts(session, [want.key for want in wants])
    missing = [want for want in wants if not _is_known(rows.get(want.key))]
    there = [want for want in wants if want not in missing]
    return Known(
        {want.key: _read(want.what, rows[want.key]) for want in there},
        {want.key: rows[want.key].seconds for want in there},
        missing,
    )


def count(database: Database, storage: Storage, wants: Sequence[Want]) -> None:
    """Count what nobody has counted or is counting, each file read once."""
    read: dict[int, Sentences] = {}
    for want in wants:
        if not _claim(database, want):
            continue
        begin = time.perf_counter()
        try:
            body = audited(storage, want.files, want.asked) if want.what == "audit" else _counted(storage, want, read)
        except Exception:
            _give_up(database, want)
            raise
        read = {id: kept for id, kept in read.items() if id == want.files[0].id}  # the next one may be of the same file
        seconds = time.perf_counter() - begin
        _keep(database, want, body, seconds)
        names = ", ".join(file.name for file in want.files)
        log.info("counted %s of %s in %.2f s", want.what, names, seconds)


def _counted(storage: Storage, want: Want, read: dict[int, Sentences]) -> Body:
    """`read`: files that were read already, by id; it grows."""
    for file in want.files:
        if file.id not in read:
            source = pair_file(storage.existing(file.sha256, file.name), file)
            read[file.id] = read_sentences(source.path, source.layout, source.kind)
    found = [read[file.id] for file in want.files]
    if want.what == "overlap":
        return overlap(*found)
    return components(*found) if want.what == "components" else repeats(*found)


def _read(what: What, fact: DataFact) -> Body:
    models: dict[What, type[Body]] = {
        "components": Components,
        "repeats": Repeats,
        "overlap": Overlap,
        "audit": AuditAnswer,
    }
    return models[what].model_validate(fact.body)


def _is_known(fact: DataFact | None) -> bool:
    return fact is not None and fact.body is not None


def _is_claimed(fact: DataFact | None, now: datetime) -> bool:
    return fact is not None and now - fact.begun_at < GIVEN_UP_AFTER


def _claim(database: Database, want: Want) -> bool:
    """Whether it is ours to count."""
    try:
        with database.writing() as session:
            fact = queries.data_facts(session, [want.key]).get(want.key)
            now = clock(session)
            if _is_known(fact) or _is_claimed(fact, now):
                return False
            if fact is None:
                session.add(DataFact(key=want.key, what=want.what, body=None, begun_at=now))
            else:
                fact.begun_at = now
    except IntegrityError:  # another process was faster
        return False
    return True


def _keep(database: Database, want: Want, body: Body, seconds: float) -> None:
    with database.writing() as session:
        fact = queries.data_facts(session, [want.key])[want.key]
        fact.body, fact.seconds = body.model_dump(mode="json"), seconds


def _give_up(database: Database, want: Want) -> None:
    """The next look may try again."""
    with database.writing() as session:
        if fact := queries.data_facts(session, [want.key]).get(want.key):
            session.delete(fact)
