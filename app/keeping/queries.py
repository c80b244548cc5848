"""Reads of a snapshot: what it holds. Only columns that every migration has."""

from dataclasses import dataclass

from alembic.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contests.models import Contest, ContestFile
from app.experiments.models import Experiment, Score
from app.runs.models import Artifact, Run


@dataclass(frozen=True)
class Contents:
    """The migration it is at, hash and size of every file that a row names, and how many rows some tables have."""

    revision: str
    files: dict[str, int]
    rows: dict[str, int]


def contents(session: Session) -> Contents:
    """Of one state of the database."""
    files = {
        sha256: size
        for table in (ContestFile, Artifact)
        for sha256, size in session.execute(select(table.sha256, table.size).order_by(table.id))
    }
    tables = {"contests": Contest, "experiments": Experiment, "runs": Run, "scores": Score}
    return Contents(
        MigrationContext.configure(session.connection()).get_current_revision() or "",
        files,
        {name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables.items()},
    )
