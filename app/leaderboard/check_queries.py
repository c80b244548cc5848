"""Reads of what can be verified of rows: their runs, data files, code, and rows that differ by their seed alone; and
the same as columns, by which the table is ordered and searched.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, false, func, literal, not_, or_, select
from sqlalchemy.orm import Session

from app.among import among
from app.contests.models import Contest, ContestFile
from app.experiments.models import Experiment, Score
from app.runs.models import ExperimentRun, Run

#: how a run ends whose saved model predicts otherwise in a fresh process (ml.verify)
RELOADS_OTHERWISE = "the saved model does not predict the same in a fresh process"
#: rows of the table that say what is usual
NEWEST = 500


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
    its own is among them. Of those that were trained here."""
    trained = exists().where(
        ExperimentRun.experiment_id == Experiment.id, Run.id == ExperimentRun.run_id, Run.kind == "finetune"
    )
    own = select(Experiment.family).where(among(Experiment.id, ids))
    query = (
        select(Experiment.id, Experiment.family, Score.value)
        .join(Score, Score.experiment_id == Experiment.id)
        .where(Experiment.contest_id == contest.id, Experiment.family.in_(own), trained)
        .where(Score.split == "valid", Score.metric == contest.metric, Score.latest)
    )
    family_of: dict[int, str | None] = {}
    scores: dict[str | None, list[float]] = {}
    for number, family, value in session.execute(query.order_by(Experiment.id)):
        family_of[number] = family
        scores.setdefault(family, []).append(value)
    return {number: scores[family_of[number]] for number in ids if number in family_of}


def compared_with(session: Session, contest: Contest, against: int | None) -> tuple[str | None, str | None]:
    """The train file and the code version that rows are held against: those of the row `against`, else the usual."""
    if against is None:
        return usual(session, contest, NEWEST)
    return train_files(session, [against]).get(against), version_of(runs_of(session, [against])[against])


def version_of(runs: Sequence[Any]) -> str | None:
    """Of the run whose scores are the experiment's."""
    told = [(run.summary or {}).get("started") for run in runs if run.kind != "pretrain"]
    return next((body["code_version"] for body in reversed(told) if body), None)


def with_columns(
    session: Session, contest: Contest, query: Select[Any], against: int | None
) -> tuple[Select[Any], dict[str, ColumnElement[Any]]]:
    """The query with what the checks need, and the columns. `swap`: by how much exchanged sides change a probability;
    `checks`: how many are not as they should be, of equally many the more proofs the lower; none where nothing is
    known. `check:WORD` for each word of search.CHECKS: whether the row has that."""
    file, version = compared_with(session, contest, against)
    proofs = _proofs().subquery()
    query = query.outerjoin(proofs, proofs.c.experiment_id == Experiment.id)
    query = query.outerjoin(ContestFile, ContestFile.id == Experiment.train_file_id)
    code = _version().scalar_subquery()
    broken = func.coalesce(proofs.c.broken, 0) > 0
    whole = and_(proofs.c.trainings > 0, proofs.c.verified == proofs.c.trainings, not_(broken))
    said = {
        "reloads": whole,
        "reloads-otherwise": broken,
        "same-data": ContestFile.sha256 == file if file else false(),
        "other-data": ContestFile.sha256 != file if file else false(),
        "same-code": code == version if version else false(),
        "other-code": code != version if version else false(),
        "swap": proofs.c.swap.is_not(None),
    }
    good, bad = ("reloads", "same-data", "same-code"), ("reloads-otherwise", "other-data", "other-code")
    weights = {**dict.fromkeys(bad, len(good) + 1), **dict.fromkeys(good, -1)}
    points: Any = literal(0)
    for name, weight in weights.items():
        points = points + case((said[name], weight), else_=0)
    said["differs"] = or_(*(said[name] for name in bad))
    known = or_(*(func.coalesce(said[name], false()) for name in (*good, *bad, "swap")))
    columns: dict[str, ColumnElement[Any]] = {f"check:{name}": found for name, found in said.items()}
    return query, {**columns, "swap": proofs.c.swap, "checks": case((known, points))}


def _proofs() -> Select[Any]:
    """By experiment: its trainings, how many of them were verified, how many reload otherwise, and the change by
    exchanged sides, by the rows that were looked at."""
    verified = Run.summary["verified"]
    rows, change = verified["swap"]["rows"].as_float(), verified["swap"]["difference"].as_float()
    columns: list[Any] = [
        ExperimentRun.experiment_id,
        func.count().label("trainings"),
        func.count(verified["rows"].as_integer()).label("verified"),
        func.sum(case((Run.reason.contains(RELOADS_OTHERWISE, autoescape=True), 1), else_=0)).label("broken"),
        (func.sum(rows * change) / func.sum(rows)).label("swap"),
    ]
    query = select(*columns).join(Run, Run.id == ExperimentRun.run_id).where(Run.kind == "finetune")
    return query.group_by(ExperimentRun.experiment_id)


def _version() -> Select[Any]:
    """Of the run whose scores are the experiment's, of the outer query."""
    version = Run.summary["started"]["code_version"].as_string()
    runs = select(version).join(ExperimentRun, ExperimentRun.run_id == Run.id)
    runs = runs.where(ExperimentRun.experiment_id == Experiment.id, Run.kind != "pretrain", version.is_not(None))
    return runs.order_by(Run.id.desc()).limit(1).correlate(Experiment)
