"""Reads of what can be verified of rows: their runs, data files, code, and rows that differ by their seed alone."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contests.models import Contest, ContestFile
from app.experiments.models import Experiment, Score
from app.runs.models import ExperimentRun, Run


def runs_of(session: Session, ids: Collection[int]) -> dict[int, list[Any]]:
    """By experiment its runs, first to last: id, kind, status, reason, summary, likeness."""
    columns: tuple[Any, ...] = (Run.id, Run.kind, Run.status, Run.reason, Run.summary, Run.likeness)
    query = select(ExperimentRun.experiment_id, *columns).join(Run, Run.id == ExperimentRun.run_id)
    found: dict[int, list[Any]] = {number: [] for number in ids}
    for row in session.execute(query.where(ExperimentRun.experiment_id.in_(ids)).order_by(Run.id)):
        found[row.experiment_id].append(row)
    return found


def train_files(session: Session, ids: Collection[int]) -> dict[int, str]:
    """By experiment the hash of its train file; those that were trained elsewhere have none."""
    query = select(Experiment.id, ContestFile.sha256).join(ContestFile, ContestFile.id == Experiment.train_file_id)
    return {row.id: row.sha256 for row in session.execute(query.where(Experiment.id.in_(ids)))}


def usual(session: Session, contest: Contest, newest: int) -> tuple[str | None, str | None]:
    """The hash of the train file, and the version of the code, of most of the newest rows of the contest's table."""
    rows = select(Experiment.id, Experiment.train_file_id).where(Experiment.contest_id == contest.id)
    of = rows.where(Experiment.archived_at.is_(None)).order_by(Experiment.id.desc()).limit(newest).subquery()
    files = select(ContestFile.sha256).join(of, of.c.train_file_id == ContestFile.id).group_by(ContestFile.sha256)
    version = Run.summary["started"]["code_version"].as_string()
    versions = select(version).join(ExperimentRun, ExperimentRun.run_id == Run.id)
    versions = versions.join(of, of.c.id == ExperimentRun.experiment_id).where(Run.kind != "pretrain")
    versions = versions.where(version.is_not(None)).group_by(version)
    file = session.scalar(files.order_by(func.count().desc(), ContestFile.sha256).limit(1))
    return file, session.scalar(versions.order_by(func.count().desc(), version).limit(1))


def alike_but_for_the_seed(session: Session, contest: Contest, ids: Collection[int]) -> dict[int, list[float]]:
    """By experiment the valid scores of the contest's rows that asked for the same of the same files, but for the seed;
    its own is among them. Those that take part in its run's likeness are looked at, and no others."""
    of_rows = select(Run.likeness).join(ExperimentRun, ExperimentRun.run_id == Run.id)
    of_rows = of_rows.where(ExperimentRun.experiment_id.in_(ids), Run.kind == "finetune")
    columns: tuple[Any, ...] = (Experiment.id, Experiment.config, Score.value)
    files = (Experiment.train_file_id, Experiment.test_file_id, Experiment.unlabelled_file_id)
    query = (
        select(*columns, *files)
        .join(ExperimentRun, ExperimentRun.experiment_id == Experiment.id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .join(Score, Score.experiment_id == Experiment.id)
        .where(Experiment.contest_id == contest.id, Run.kind == "finetune", Run.likeness.in_(of_rows))
        .where(Score.split == "valid", Score.metric == contest.metric, Score.latest)
    )
    family: dict[int, str] = {}
    scores: dict[str, dict[int, float]] = {}
    for number, config, value, *of in session.execute(query):
        plain = {name: part for name, part in (config or {}).items() if name not in {"seed", "name", "note"}}
        family[number] = json.dumps([plain, of], sort_keys=True)
        scores.setdefault(family[number], {})[number] = value
    return {number: list(scores[family[number]].values()) for number in ids if number in family}
