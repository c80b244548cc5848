"""`pairboard doctor`: does everything that pairboard stands on work, and if not, what to do. Changes nothing."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import httpx2
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import schema
from app.db import Database, clock
from app.errors import AppError
from app.queue import Doorbell
from app.runs import queries, waiting
from app.runs.worker_service import WORKER_AWAY
from app.settings import Settings
from app.storage import Storage

GB = 1e9
LITTLE_DISK, TOO_LITTLE_DISK = 10 * GB, 1 * GB
CLOCK_OFF_S = 2.0
LEAST_CHARACTERS = 8  # different ones; 32 drawn hex digits have fewer once in 28 million


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, and in words what was found and what to do."""

    name: str
    state: Literal["ok", "warning", "bad"]
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at each part in turn; what needs the database is left out when it can't be read."""
    yield _disk(settings)
    yield _secret(settings)
    yield _broker(settings)
    yield _web(settings)
    database = Database(settings.database)
    try:
        found = list(_database(database.write_engine))
        yield from found
        if all(item.state == "ok" for item in found):
            with database.reading() as session:
                yield _clock(session)
                yield from _workers(session)
                yield _files(session, settings)
    finally:
        database.dispose()


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir.resolve()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return Finding("data folder", "bad", f"{folder} can't be written to ({error.strerror}): see PAIRBOARD_DATA_DIR")
    free = shutil.disk_usage(folder).free
    state: Literal["ok", "warning", "bad"] = "ok"
    if free < LITTLE_DISK:
        state = "bad" if free < TOO_LITTLE_DISK else "warning"
    more = "" if state == "ok" else ": uploads and weights will soon find no room"
    return Finding("data folder", state, f"{folder}, {free / GB:.1f} GB free{more}")


def _secret(settings: Settings) -> Finding:
    """It signs what a browser carries to the OpenID provider and back; who guesses it may forge that."""
    value = settings.secret.get_secret_value()
    if not value:
        if settings.on_loopback:
            return Finding("secret", "ok", "none; one is drawn at each start")
        return Finding("secret", "bad", "none: set PAIRBOARD_SECRET ($(openssl rand -hex 32))")
    if len(set(value)) < LEAST_CHARACTERS:
        return Finding("secret", "bad", "PAIRBOARD_SECRET is typed, not drawn: make one with openssl rand -hex 32")
    return Finding("secret", "ok", "set")


def _broker(settings: Settings) -> Finding:
    name = settings.broker_url.get_secret_value().split(":", 1)[0]
    if Doorbell(settings).answers():
        return Finding("broker", "ok", f"{name} answers")
    return Finding("broker", "bad", f"{name} does not answer, and queued runs wait: see PAIRBOARD_BROKER_URL")


def _web(settings: Settings) -> Finding:
    url = settings.own_url
    try:
        found = httpx2.get(f"{url}/health", timeout=5)
    except httpx2.TransportError as error:
        return Finding("web server", "warning", f"{url} does not answer ({type(error).__name__}): start `pairboard up`")
    if found.is_success:
        return Finding("web server", "ok", f"{url} answers")
    return Finding("web server", "bad", f"{url}/health answers {found.status_code}: its log says why")


def _database(engine: Engine) -> Iterator[Finding]:
    kind = engine.dialect.name
    try:
        with engine.connect() as connection:
            if kind == "sqlite":
                wrong = connection.execute(text("PRAGMA quick_check(1)")).scalar()
                if wrong != "ok":
                    yield Finding("database", "bad", f"the SQLite file is damaged ({wrong}): restore a copy")
                    return
        schema.require_head(engine)
    except AppError as error:
        yield Finding("database", "bad", error.message)
    except SQLAlchemyError as error:
        line = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield Finding("database", "bad", f"{kind} can't be reached ({line}): see PAIRBOARD_DATABASE_URL")
    else:
        yield Finding("database", "ok", f"{kind}, with every migration")


def _clock(session: Session) -> Finding:
    off = abs((clock(session) - datetime.now(UTC)).total_seconds())
    if off < CLOCK_OFF_S:
        return Finding("clock", "ok", "as the database's")
    return Finding("clock", "warning", f"{off:.0f} s off the database's: times on pages are wrong; leases are not")


def _workers(session: Session) -> Iterator[Finding]:
    """Who serves the queues, and what waits for nobody."""
    line = waiting.line(session)
    own = version("pairboard")
    for worker in queries.workers(session):
        told = worker.machine.get("versions", {}).get("pairboard", own)
        if line.now - worker.last_seen_at > WORKER_AWAY:
            yield Finding("worker", "warning", f"{worker.name} was last heard of at {worker.last_seen_at:%F %T} UTC")
        elif told != own:
            yield Finding("worker", "warning", f"{worker.name} runs pairboard {told}, the app {own}: update it")
        else:
            yield Finding("worker", "ok", f"{worker.name} on {', '.join(worker.queues)}")
    if not line.workers:
        yield Finding("workers", "bad" if line.waiting else "warning", "none is connected: start `pairboard worker`")
    for name in sorted({item.run.queue for item in line.waiting}):
        first = next(item for item in line.waiting if item.run.queue == name)
        count = sum(item.run.queue == name for item in line.waiting)
        served = any(name in worker.queues and not worker.draining for worker in line.workers)
        served = served and name not in line.paused
        yield Finding(f"queue {name}", "ok" if served else "bad", f"{count} wait; the first: {first.reason}")


def _files(session: Session, settings: Settings) -> Finding:
    """Whether the bytes of every recorded file are there."""
    storage = Storage((settings.data_dir / "storage").resolve(), settings.max_upload_mb << 20)
    hashes = queries.stored_hashes(session)
    lost = [sha256 for sha256 in hashes if not storage.path(sha256).is_file()]
    if lost:
        shown = ", ".join(sha256[:12] for sha256 in lost[:5])
        return Finding(
            "files", "bad", f"{len(lost)} of {len(hashes)} recorded files are gone ({shown} ...): restore them"
        )
    return Finding("files", "ok", f"{len(hashes)} recorded, all there")
