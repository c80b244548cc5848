"""The tables' history: where the migrations lie, upgrading, and whether a database is up to date.

Called by cli (migrate, up) and by main (the web process refuses to run on an old schema).
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

import app.accounts.models
import app.contests.models
import app.experiments.models
import app.leaderboard.models
import app.runs.models
import app.sealed.models
import app.submissions.models  # noqa: F401 - importing the models fills the metadata
from app import migrating
from app.db import Base
from app.errors import AppError

_HERE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """`templates` or `migrations`: beside the package in a checkout, inside it in a wheel."""
    packed = _HERE / f"_{name}"
    return packed if packed.is_dir() else _HERE.parent / name


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings; there is no alembic.ini. Migrations run on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str | None:
    """The newest migration of this code."""
    return _head_in(folder("migrations"))


@cache
def _head_in(_folder: Path) -> str | None:
    """Once a process: every migration is compiled to find it."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def knows(revision: str) -> bool:
    """Whether this code has a migration of that name; a newer one's database has others."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def current(engine: Engine) -> str | None:
    """The migration that the database is at; None for one without tables of ours."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head", *, copy: bool = True) -> Path | None:
    """Bring the database to `revision`, or leave it as it is and raise. Returns the copy that was made of a SQLite
    database before."""
    return _move(engine, command.upgrade, revision, copy)


def downgrade(engine: Engine, revision: str) -> Path | None:
    """The same way back (`base`: empty)."""
    return _move(engine, command.downgrade, revision, True)


def _move(engine: Engine, how: Callable[[Config, str], None], revision: str, with_copy: bool) -> Path | None:
    with migrating.alone(engine) as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        there = before is None or before == (head() if revision == "head" else revision)
        copy = migrating.copy_of_sqlite(connection, before) if with_copy and before and not there else None
        try:
            how(alembic_config(connection), revision)
        except Exception as error:  # whatever a migration meets
            raise AppError(
                f"the database stays at migration {before or 'none'}, with nothing changed: {type(error).__name__}: "
                f"{error}" + (f" (a copy is in {copy})" if copy else "")
            ) from error
    return copy


def require_head(engine: Engine) -> None:
    """Raise AppError unless the database has every migration of this code and none that it doesn't know."""
    needed, found = head(), current(engine)
    if found != needed:
        raise AppError(
            f"the database is at migration {found or 'none'}, this pairboard needs {needed}: run `pairboard migrate` "
            "(a newer database needs a newer pairboard)"
        )


def differences(engine: Engine) -> list[object]:
    """What the models have and the migrated database lacks, or the other way round. Empty when they agree."""
    with engine.connect() as connection:
        return list(
            compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
        )
