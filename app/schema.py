"""The tables' history: where the migrations lie, upgrading, and whether a database is up to date.

Called by cli (migrate, up) and by main (the web process refuses to run on an old schema).
"""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import app.accounts.models
import app.contests.models
import app.experiments.models
import app.runs.models  # noqa: F401 - importing the models fills the metadata
from app.db import Base
from app.errors import AppError

_HERE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """`templates` or `migrations`: beside the package in a checkout, inside it in a wheel."""
    packed = _HERE / f"_{name}"
    return packed if packed.is_dir() else _HERE.parent / name


def alembic_config(engine: Engine) -> Config:
    """Alembic's settings for this engine; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["engine"] = engine
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to `revision`."""
    command.upgrade(alembic_config(engine), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision` (`base`: empty)."""
    command.downgrade(alembic_config(engine), revision)


def require_head(engine: Engine) -> None:
    """Raise AppError unless the database has every migration of this code and none that it doesn't know."""
    head = ScriptDirectory.from_config(alembic_config(engine)).get_current_head()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current != head:
        raise AppError(
            f"the database is at migration {current or 'none'}, this pairboard needs {head}: run `pairboard migrate` "
            "(a newer database needs a newer pairboard)"
        )


def differences(engine: Engine) -> list[object]:
    """What the models have and the migrated database lacks, or the other way round. Empty when they agree."""
    with engine.connect() as connection:
        return list(
            compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata)
        )
