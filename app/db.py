"""Engines, sessions, the clock, and the column types that behave the same on SQLite and Postgres.

SQLite: WAL, a busy timeout, foreign keys; writers begin IMMEDIATE (a read-then-write in a deferred transaction fails
at once with BUSY_SNAPSHOT, busy timeout or not), readers stay deferred. synchronous=FULL: a score is on disk before
its 2xx.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Engine,
    Float,
    Integer,
    Interval,
    MetaData,
    create_engine,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON, TypeDecorator

NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
BUSY_TIMEOUT_MS = 30_000
#: of SQLite's file are read from memory that the processes share: a table that is looked through takes half as long
MAPPED_BYTES = 256 * 2**20


def in_json(value: Any) -> str:
    """As JSON columns are written, models of the contract, too; several times faster than json's own."""
    try:
        return to_json(value, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        # half a character: raises the error that main has a handler for
        json.dumps(value, ensure_ascii=False, default=lambda model: model.model_dump()).encode()
        raise


#: how JSON columns are written and read
_JSON: dict[str, Any] = {"json_serializer": in_json, "json_deserializer": from_json}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases (SQLite keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], datetime | None] | None:
        """Of SQLite's text at once: by way of a time without a zone it takes twice as long."""
        if dialect.name == "sqlite":
            return lambda text: None if text is None else datetime.fromisoformat(f"{text}+00:00")
        return super().result_processor(dialect, coltype)


class Base(DeclarativeBase):
    """Every table. Names of constraints follow one convention, so that migrations can name them."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}


#: SQLite counts up only INTEGER keys by itself
BigKey = BigInteger().with_variant(Integer, "sqlite")


#: Connections of an engine, and how many of them requests may hold at once. A request holds its connection while it
#: waits for a thread that writes its answer; if every thread waited for a connection, neither would ever come: some
#: connections are left for those who need one for a moment.
_POOL: dict[str, Any] = {"pool_size": 10, "max_overflow": 20}
HELD_BY_REQUESTS = 20


class Database:
    """A reading and a writing sessionmaker on one database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.read_engine = _engine(url, "BEGIN")
        self.write_engine = _engine(url, "BEGIN IMMEDIATE") if url.startswith("sqlite") else self.read_engine
        self._read = sessionmaker(self.read_engine, expire_on_commit=False, autoflush=True)
        self._write = sessionmaker(self.write_engine, expire_on_commit=False, autoflush=True)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database and changes nothing."""
        with self._read() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are committed when the block ends, and undone when it raises."""
        with self._write.begin() as session:
            yield session

    def analyze(self) -> None:
        """Have SQLite look at samples of its indexes, for without it takes any one that fits: of a row's contest, which
        are all rows, or of its fingerprint. Postgres does so by itself."""
        if self.write_engine.dialect.name == "sqlite":
            with self.write_engine.begin() as connection:
                connection.exec_driver_sql("PRAGMA analysis_limit=400")
                connection.exec_driver_sql("ANALYZE")

    def dispose(self) -> None:
        """Close every connection."""
        self.read_engine.dispose()
        self.write_engine.dispose()


def _engine(url: str, begin: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, **_POOL, **_JSON)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}, **_POOL, **_JSON
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # or sqlite3 begins its own, deferred, transactions
        _write_ahead(connection)
        settings = ("synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}")
        for pragma in (*settings, f"mmap_size={MAPPED_BYTES}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _write_ahead(connection: Any) -> None:
    """Of a new file the first one changes it, and the others, which came at the same moment, are refused at once: for
    this SQLite does not wait."""
    give_up = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def clock(session: Session) -> datetime:
    """Now, by the database's clock: leases of several web processes must agree on one."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime | None = session.scalar(select(func.clock_timestamp(type_=UtcDateTime)))
    assert now is not None  # noqa: S101 - a SELECT of a function has a row
    return now


def moment(session: Session, ago: timedelta = timedelta(0)) -> ColumnElement[datetime]:
    """That long ago by the same clock, as a part of a statement: asked for by itself, it would be one more."""
    if session.get_bind().dialect.name == "sqlite":
        return literal(datetime.now(UTC) - ago, UtcDateTime())
    return func.clock_timestamp() - literal(ago, Interval())


class lasted(FunctionElement[float]):
    """Seconds between two moments: lasted(begin, end)."""

    type = Float()
    inherit_cache = True


@compiles(lasted)
def _lasted(element: lasted, compiler: Any, **how: Any) -> str:
    begin, end = (compiler.process(part, **how) for part in element.clauses)
    return f"date_part('epoch', {end} - {begin})"


@compiles(lasted, "sqlite")
def _lasted_sqlite(element: lasted, compiler: Any, **how: Any) -> str:
    begin, end = (compiler.process(part, **how) for part in element.clauses)
    return f"(julianday({end}) - julianday({begin})) * 86400.0"
