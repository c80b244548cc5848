"""What the table is ordered, searched and summed up by, without reading every score and config."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261126_quick_table"
down_revision = "20261126_curves"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("scores") as table:
        table.add_column(sa.Column("latest", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE scores SET latest = true WHERE id IN (SELECT max(id) FROM scores GROUP BY experiment_id, split, metric)"
    )
    with op.batch_alter_table("scores") as table:
        table.alter_column("latest", server_default=None)
    op.create_index(
        "ix_scores_latest",
        "scores",
        ["experiment_id", "metric", "split", "value"],
        sqlite_where=sa.text("latest"),
        postgresql_where=sa.text("latest"),
    )
    op.create_index("ix_experiments_table", "experiments", ["contest_id", "archived_at", "id"])
    fields = op.create_table(
        "experiment_fields",
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_experiment_fields_contest_id_contests")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_fields_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint(
            "contest_id",
            "name",
            "experiment_id",
            name=op.f("pk_experiment_fields"),
            postgresql_include=["text", "number"],
        ),
        sqlite_with_rowid=False,
    )
    experiments = sa.table("experiments", sa.column("id"), sa.column("contest_id"), sa.column("config", sa.JSON()))
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(experiments.c.id, experiments.c.contest_id, experiments.c.config)
        .where(experiments.c.id > last)
        .order_by(experiments.c.id)
        .limit(500)
    ).all():
        last = rows[-1][0]
        found = [row for number, contest, config in rows for row in _fields(number, contest, config or {})]
        if found:
            connection.execute(sa.insert(fields), found)


def _fields(number: int, contest: int, config: dict[str, Any]) -> list[dict[str, Any]]:
    plain = {name: value for name, value in config.items() if not isinstance(value, dict) and name != "version"}
    inside = [(group, values) for group, values in config.items() if isinstance(values, dict)]
    plain |= {f"{group}.{name}": value for group, values in inside for name, value in values.items()}
    return [
        {
            "contest_id": contest,
            "name": name,
            "experiment_id": number,
            "text": _text(value),
            "number": float(value) if isinstance(value, bool | int | float) else None,
        }
        for name, value in plain.items()
        if value is not None
    ]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


def downgrade() -> None:
    op.drop_table("experiment_fields")
    op.drop_index("ix_experiments_table", table_name="experiments")
    op.drop_index("ix_scores_latest", table_name="scores")
    with op.batch_alter_table("scores") as table:
        table.drop_column("latest")
