"""Rows that differ by their seed alone are found by an index, without reading the config of every other row."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261128_family"
down_revision = "20261127_elsewhere"

FILES = ("train_file_id", "test_file_id", "unlabelled_file_id")


def upgrade() -> None:
    op.add_column("experiments", sa.Column("family", sa.String(length=64), nullable=True))
    experiments = sa.table(
        "experiments", sa.column("id"), sa.column("family"), sa.column("config", sa.JSON()), *map(sa.column, FILES)
    )
    connection = op.get_bind()
    asked = sa.select(experiments.c.id, experiments.c.config, *(experiments.c[name] for name in FILES))
    last = 0
    while rows := connection.execute(asked.where(experiments.c.id > last).order_by(experiments.c.id).limit(500)).all():
        last = rows[-1][0]
        found = [{"number": number, "of": _family(config, files)} for number, config, *files in rows if config]
        if found:
            change = sa.update(experiments).where(experiments.c.id == sa.bindparam("number"))
            connection.execute(change.values(family=sa.bindparam("of")), found)
    op.create_index("ix_experiments_family", "experiments", ["family"])


def _family(config: dict[str, Any], files: list[int | None]) -> str:
    plain = {name: part for name, part in config.items() if name not in {"seed", "name", "note"}}
    return hashlib.sha256(json.dumps([plain, files], sort_keys=True).encode()).hexdigest()


def downgrade() -> None:
    op.drop_index("ix_experiments_family", "experiments")
    op.drop_column("experiments", "family")
