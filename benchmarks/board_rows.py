"""Ten thousand experiments, as the table of a long contest holds them: for benchmarks/board_speed.py."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from app.contests.models import Contest, ContestFile
from app.experiments.models import Experiment, ExperimentField, ExperimentTag, Score
from app.experiments.service import family, field_text
from app.runs.models import Attempt, ExperimentRun, Run
from ml.contract.experiment import ExperimentConfig, flat
from ml.contract.presets import PRESETS, preset

METRICS = ("roc_auc", "accuracy", "f1", "log_loss")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def fill(session: Session, count: int, seed: int = 0) -> Contest:
    """A contest with `count` experiments: each a config of every field, a pretrain (shared by three) and a finetune
    with their attempts, train and valid in four metrics, every second one online; some tagged, archived, failed."""
    draw = random.Random(seed)  # noqa: S311 - rows, not secrets
    contest = Contest(slug="board", name="Board", metric="roc_auc", note="", created_at=BEGIN)
    session.add(contest)
    session.flush()
    file = ContestFile(
        contest_id=contest.id,
        kind="train",
        name="train.tsv",
        sha256="0" * 64,
        size=1,
        rows=1,
        layout={"columns": 3, "label_column": 2},
        layout_digest="0" * 64,
        report={"looks_like": "ids"},
        created_at=BEGIN,
    )
    session.add(file)
    session.flush()
    tables: dict[Any, list[dict[str, Any]]] = {}
    for number in range(1, count + 1):
        _experiment(tables, draw, contest, file, number)
    for table in (Experiment, ExperimentField, Run, ExperimentRun, Attempt, Score, ExperimentTag):
        rows = tables[table]
        for start in range(0, len(rows), 5000):
            session.execute(insert(table.__table__), rows[start : start + 5000])
    for column, split, value in (
        ("shown_train", "train", "value"),
        ("shown_valid", "valid", "value"),
        ("shown_online", "online", "value"),
        ("shown_deviation", "valid", "deviation"),
    ):
        of_row = "scores.experiment_id = experiments.id AND scores.latest AND scores.metric = 'roc_auc'"
        shown = f"SELECT {value} FROM scores WHERE {of_row} AND scores.split = '{split}'"  # noqa: S608 - ours
        session.execute(text(f"UPDATE experiments SET {column} = ({shown})"))  # noqa: S608 - ours
    if session.get_bind().dialect.name == "postgresql":  # the ids were ours: its own begin after them
        for table in (Experiment, Run, Attempt):
            newest = select(func.max(table.id)).scalar_subquery()
            session.execute(select(func.setval(func.pg_get_serial_sequence(table.__tablename__, "id"), newest)))
    return contest


def _experiment(
    tables: dict[Any, list[dict[str, Any]]], draw: random.Random, contest: Contest, file: ContestFile, number: int
) -> None:
    def add(table: Any, **values: Any) -> None:
        tables.setdefault(table, []).append(values)

    when = BEGIN + timedelta(minutes=10 * number)
    name = draw.choice(list(PRESETS))
    config = preset(name).model_dump(mode="json")
    config["seed"] = draw.randrange(5)
    config["finetune"]["learning_rate"] = draw.choice((1e-5, 2e-5, 3e-5, 5e-5))
    ExperimentConfig.model_validate(config)
    failed = draw.random() < 0.03
    add(
        Experiment,
        id=number,
        contest_id=contest.id,
        name=f"{name} {number}",
        note=draw.choice(("", "n-gram masks", "last 3 layers", "the note's recipe")),
        origin="pairboard",
        config=config,
        marks={"leaking": "split by row"} if draw.random() < 0.1 else {},
        fingerprint=f"{number:064x}",
        family=family(config, [file.id, None, None]),
        parent_id=number - 1 if number > 1 and draw.random() < 0.5 else None,
        train_file_id=file.id,
        made_by=draw.choice(("ann", "bo", "chen")),
        archived_at=when if draw.random() < 0.05 else None,
        created_at=when,
    )
    for field, value in flat(config).items():
        if value is not None:
            plain = float(value) if isinstance(value, bool | int | float) else None
            of = {"contest_id": contest.id, "experiment_id": number, "name": field}
            add(ExperimentField, **of, text=field_text(value), number=plain)
    for kind, run_id in (("pretrain", 1_000_000 + number // 3), ("finetune", number)):
        if kind == "finetune" or number % 3 == 0 or number == 1:
            add(
                Run,
                id=run_id,
                kind=kind,
                fingerprint=f"{run_id:064x}",
                config=config,
                train_file_id=file.id,
                repeat=0,
                status="failed" if failed and kind == "finetune" else "finished",
                attempt=1,
                cancel_requested=False,
                reason="out of memory" if failed and kind == "finetune" else "",
                detail="",
                queue="pairboard",
                priority=0,
                place=run_id,
                max_attempts=5,
                tries_from=0,
                stop_reason="",
                likeness="",
                passes=1.0,
                queued_at=when,
                started_at=when,
                ended_at=when + timedelta(minutes=9),
            )
            add(
                Attempt,
                id=run_id,
                run_id=run_id,
                number=1,
                worker="gpu1",
                boot_id="0" * 16,
                token_digest=f"{run_id:064x}",
                claimed_at=when,
                heartbeat_at=when,
                lease_until=when,
                stored_events=0,
                drawn_events=0,
                outcome="failed" if failed and kind == "finetune" else "finished",
                reason="",
                ended_at=when + timedelta(minutes=9),
            )
        add(ExperimentRun, experiment_id=number, run_id=run_id)
    if not failed:
        valid = draw.gauss(0.85, 0.03)
        splits = {"train": valid + draw.random() / 20, "valid": valid}
        for split, value in splits.items():
            for metric in METRICS:
                add(
                    Score,
                    experiment_id=number,
                    run_id=number,
                    split=split,
                    metric=metric,
                    value=value - METRICS.index(metric) / 20,
                    text="",
                    latest=True,
                    uncertain=False,
                    note="",
                    source="run",
                    low=value - 0.01 if metric == "roc_auc" else None,
                    high=value + 0.01 if metric == "roc_auc" else None,
                    created_at=when,
                )
        if number % 2:
            add(
                Score,
                experiment_id=number,
                run_id=None,
                split="online",
                metric="roc_auc",
                value=round(valid - 0.02 + draw.gauss(0, 0.004), 5),
                text="",
                latest=True,
                uncertain=False,
                note="board A",
                source="rest",
                low=None,
                high=None,
                created_at=when,
            )
    for tag in draw.sample(("send", "folds", "ablation", "old"), draw.choice((0, 0, 1, 2))):
        add(ExperimentTag, experiment_id=number, tag=tag)
