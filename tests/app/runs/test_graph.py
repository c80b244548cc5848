"""The runs of an experiment: a fold each its own, one shared pretrain, a blend that waits; fusions and teachers."""

import time
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session

from app import queue
from app.contests.models import Contest
from app.db import Database, clock
from app.errors import Conflict, Refused
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.leaderboard.queries import ranked
from app.runs import queries, service
from app.runs.jobs import job_of
from app.runs.models import Artifact, Run
from app.storage import Storage
from ml.contract.events import Failed, Finished, Scored
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.job import Job
from ml.contract.scores import Scores
from tests.app.runs.test_lifecycle import claim, send
from tests.factories import TINY, make_contest, make_experiment, make_file, storage_in

LEASE = timedelta(seconds=60)
SCORES = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session)
    for kind in ("train", "test"):
        make_file(session, storage, made, kind)
    return made


def config(**changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(merge(TINY, changes))


def finish(session: Session, run: Run, *events: Any, files: tuple[str, ...] = ()) -> None:
    """Claim the run and end it, with files of these names."""
    attempt, _ = claim(session, run)
    for name in files:
        plain = {"sha256": f"{run.id:064d}", "size": 1, "created_at": clock(session)}
        session.add(Artifact(run_id=run.id, attempt_id=attempt.id, name=name, **plain))
    send(session, run, attempt, *events, Finished(seconds=1))


def job_for(session: Session, run: Run) -> Job:
    """What a worker would be given, without taking the run."""
    number = run.attempt
    run.attempt = max(1, number)
    job = job_of(session, run)
    run.attempt = number
    return job


PREDICTIONS = ("valid_predictions.tsv", "test_predictions.tsv", "scores.json", "model.safetensors")


def rung(session: Session) -> list[int]:
    return [run_id for run_id, _ in queue.noted(session)]


def test_folds_share_a_pretrain_and_a_blend_waits_for_all(session: Session, contest: Contest) -> None:
    experiment, runs = make_experiment(session, contest, config=config(data={"folds": 3}))
    assert [(run.kind, run.fold) for run in runs] == [
        ("pretrain", None),
        ("finetune", 0),
        ("finetune", 1),
        ("finetune", 2),
        ("blend", None),
    ]
    pretrain, *folds, blend = runs
    assert rung(session) == [pretrain.id]
    finish(session, pretrain, files=("model.safetensors",))
    assert rung(session) == [fold.id for fold in folds]
    finish(session, folds[0], Scored(split="valid", rows=9, scores=SCORES), files=PREDICTIONS)
    assert experiment_queries.scores_of(session, [experiment.id]) == []  # a fold does not speak for the experiment
    assert folds[0].summary["scored"]["valid"]["rows"] == 9
    with pytest.raises(Conflict, match=f"run {blend.id} waits for finetune run {folds[1].id}, which is queued"):
        claim(session, blend)
    for fold in folds[1:]:
        finish(session, fold, files=PREDICTIONS)
    assert rung(session) == [blend.id]
    job = job_for(session, blend)
    assert (job.kind, [item.role for item in job.inputs]) == ("blend", ["train", "test", *["member"] * 9])
    assert {item.path for item in job.inputs if item.name == "scores.json"} == {
        f"inputs/fold-{k}-repeat-0/scores.json" for k in range(3)
    }
    first = job_for(session, folds[2])
    assert (first.fold, first.repeat) == (2, 0)
    assert [item.role for item in first.inputs] == ["train", "test", "pretrained"]

    members = tuple(SCORES.model_copy(update={"roc_auc": value}) for value in (0.7, 0.8, 0.9))
    finish(session, blend, Scored(split="valid", rows=60, scores=SCORES, interval=(0.7, 0.8), members=members))
    (row,) = ranked(session, contest).rows
    assert row.status == "finished"
    assert row.valid is not None
    assert (row.valid.value, row.valid.low, row.valid.high, row.valid.members) == (0.75, 0.7, 0.8, 3)
    assert (row.valid.mean, row.valid.deviation) == (pytest.approx(0.8), pytest.approx(0.1))
    assert list(row.marks) == ["transductive"]


def test_a_failed_fold_ends_the_blend_and_what_waits_for_that(session: Session, contest: Contest) -> None:
    first, (one, _, blend) = make_experiment(session, contest, config=config(pretrain=None, data={"folds": 2}))
    second, (other,) = make_experiment(session, contest, "b", config(pretrain=None))
    fused = config(pretrain=None, fusion={"members": [first.id, second.id]})
    with pytest.raises(Refused, match="different splits"):
        make_experiment(session, contest, "f", fused)
    twin, (_, _, twin_blend) = make_experiment(
        session, contest, "twin", config(pretrain=None, data={"folds": 2}, seed=9)
    )
    both = config(pretrain=None, fusion={"members": [first.id, twin.id]})
    _, (fusion,) = make_experiment(session, contest, "f", both)
    attempt, _ = claim(session, one)
    send(session, one, attempt, Failed(reason="no memory"))
    assert (blend.status, blend.reason) == ("failed", f"finetune run {one.id} failed: no memory")
    assert fusion.status == "failed"
    assert twin_blend.status == "queued"
    assert other.status == "queued"
    with pytest.raises(Refused, match=f"fusion.members: experiment {first.id} is failed"):
        make_experiment(session, contest, "g", both)


def test_a_fusion_reads_its_members_and_cancels_alone(session: Session, contest: Contest) -> None:
    made = [make_experiment(session, contest, name, config(pretrain=None, seed=n)) for n, name in enumerate("ab")]
    queue.noted(session)
    fused = config(fusion={"members": [experiment.id for experiment, _ in made]})
    experiment, (blend,) = make_experiment(session, contest, "fusion", fused)
    assert rung(session) == []
    for _, (run,) in made:
        finish(session, run, files=PREDICTIONS)
    assert rung(session)[-1] == blend.id
    folders = {Path(item.path).parent.name for item in job_for(session, blend).inputs if item.role == "member"}
    assert folders == {f"experiment-{member.id}" for member, _ in made}
    service.cancel_experiment(session, experiment)
    assert [run.status for _, (run,) in made] == ["finished", "finished"]


def test_a_fusion_carries_the_marks_of_its_members(session: Session, contest: Contest) -> None:
    by_row = [config(pretrain=None, data={"split_by": "row"}, seed=n) for n in range(2)]
    leaking = [make_experiment(session, contest, f"row {n}", asked)[0] for n, asked in enumerate(by_row)]
    fused, _ = make_experiment(session, contest, "f", config(fusion={"members": [item.id for item in leaking]}))
    assert list(fused.marks) == ["leaking"]
    assert fused.marks["leaking"].startswith(f"experiment {leaking[0].id}: split by row")
    seen = config(data={"folds": 2}, pretrain={"test_texts": True})
    teacher, _ = make_experiment(session, contest, "teacher", seen)
    taught = config(pretrain=None, finetune={"soft_labels_from": teacher.id})
    student, _ = make_experiment(session, contest, "student", taught)
    assert list(student.marks) == ["transductive"]
    plain, _ = make_experiment(session, contest, "plain", config())
    assert plain.marks == {}


def test_repeats_are_runs(session: Session, contest: Contest) -> None:
    _, runs = make_experiment(session, contest, config=config(pretrain=None, data={"repeats": 2}))
    assert [(run.kind, run.repeat) for run in runs] == [("finetune", 0), ("finetune", 1), ("blend", 0)]


def test_a_student_waits_for_its_teacher(session: Session, contest: Contest) -> None:
    teacher, runs = make_experiment(session, contest, config=config(pretrain=None, data={"folds": 2}))
    asked = config(pretrain=None, finetune={"soft_labels_from": teacher.id})
    _, (student,) = make_experiment(session, contest, "student", asked)
    with pytest.raises(Conflict, match="waits for blend run"):
        claim(session, student)
    for run in runs:
        finish(session, run, files=PREDICTIONS)
    given = [item for item in job_for(session, student).inputs if item.role == "teacher"]
    assert [item.path for item in given] == ["inputs/teacher/valid_predictions.tsv"]


def test_pretrains_read_what_they_ask_for_and_are_shared_by_it(
    session: Session, contest: Contest, storage: Storage
) -> None:
    make_file(session, storage, contest, "unlabelled")
    reading = config(pretrain={"unlabelled": True, "test_texts": True})
    _, (pretrain, _) = make_experiment(session, contest, config=reading)
    assert [item.role for item in job_for(session, pretrain).inputs] == ["train", "test", "unlabelled"]
    _, (plain, _) = make_experiment(session, contest, "plain", config())
    assert [item.role for item in job_for(session, plain).inputs] == ["train"]
    _, (again, *_) = make_experiment(session, contest, "repeats", merged(reading, data={"repeats": 3}))
    assert again.id == pretrain.id
    _, (folded, *_) = make_experiment(session, contest, "folds", merged(reading, data={"folds": 3}))
    _, (more, *_) = make_experiment(session, contest, "more folds", merged(reading, data={"folds": 5}))
    assert folded.id == more.id != pretrain.id  # it reads every row, however they are cut


def merged(base: ExperimentConfig, **changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate(merge(base.model_dump(mode="json"), changes))


@pytest.mark.parametrize(
    ("changes", "field", "match"),
    [
        ({"pretrain": {"unlabelled": True}}, "pretrain.unlabelled", "no unlabelled file to pretrain on: upload one"),
        ({"fusion": {"members": [10**6, 10**6 + 1]}}, "fusion.members", "has no experiment 1000000"),
        ({"fusion": {"members": ["PLAIN", "SEED"]}}, "fusion.members", r"different splits \(data: split_seed\)"),
        ({"fusion": {"members": ["PLAIN", "FOLDS"]}}, "fusion.members", "different splits"),
        ({"fusion": {"members": ["PLAIN", "ALL"]}}, "fusion.members", r"no valid part \(data.full_data\)"),
        ({"fusion": {"members": ["PLAIN", "EXTERNAL"]}}, "fusion.members", "was trained elsewhere"),
        ({"finetune": {"soft_labels_from": "PLAIN"}}, "finetune.soft_labels_from", "has no folds"),
        ({"finetune": {"soft_labels_from": 10**6}}, "finetune.soft_labels_from", "has no experiment 1000000"),
    ],
)
def test_what_others_cannot_serve_is_refused_before_anything_is_queued(
    session: Session, contest: Contest, changes: dict[str, Any], field: str, match: str
) -> None:
    known = {
        "PLAIN": config(pretrain=None),
        "SEED": config(pretrain=None, data={"split_seed": 5}),
        "FOLDS": config(pretrain=None, data={"folds": 2}),
        "ALL": config(pretrain=None, data={"full_data": True}, finetune={"max_steps": 5}),
    }
    ids = {name: make_experiment(session, contest, name, asked)[0].id for name, asked in known.items()}
    ids["EXTERNAL"] = experiments.create_external(session, contest, name="x", note="").id
    queue.noted(session)

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        return [ids.get(item, item) for item in value] if isinstance(value, list) else ids.get(value, value)

    with pytest.raises(Refused, match=match) as refused:
        make_experiment(session, contest, "new", config(**named(changes)))
    assert [problem.field for problem in refused.value.fields] == [field]
    assert rung(session) == []


def test_a_shared_pretrain_outlives_a_cancelled_experiment_with_folds(session: Session, contest: Contest) -> None:
    one, (pretrain, *_) = make_experiment(session, contest, config=config(data={"folds": 2}))
    two, (_, *others) = make_experiment(
        session, contest, "two", config(data={"folds": 2}, finetune={"learning_rate": 1e-4})
    )
    service.cancel_experiment(session, one)
    assert pretrain.status == "queued"
    assert {run.status for run in others} == {"queued"}
    service.cancel_experiment(session, two)
    assert pretrain.status == "cancelled"
    assert queries.final_run(session, two.id) is not None


def test_a_cancelled_pretrain_that_ends_all_the_same_serves_who_asked_again(session: Session, contest: Contest) -> None:
    for started in (False, True):
        first, (pretrain, _) = make_experiment(session, contest, "first", config(seed=70 + started))
        attempt, _ = claim(session, pretrain)
        service.cancel_experiment(session, first)
        assert pretrain.cancel_requested
        second, (twin, finetune) = make_experiment(session, contest, "second", config(seed=70 + started))
        assert twin.id != pretrain.id, "one that is to stop is not shared"
        on_twin = claim(session, twin)[0] if started else None
        queue.noted(session)
        send(session, pretrain, attempt, Finished(seconds=1))
        assert (pretrain.status, attempt.outcome) == ("finished", "finished")
        assert [need.id for _, need in queries.needs_of(session, finetune.id)] == [pretrain.id]
        assert (finetune.id, finetune.queue) in queue.noted(session), "it can start"
        assert [run.id for run in queries.runs_of(session, second.id)] == [pretrain.id, finetune.id]
        if on_twin is None:
            assert twin.status == "cancelled"
        else:
            assert (twin.status, twin.cancel_requested) == ("running", True)
            send(session, twin, on_twin, Finished(seconds=1))  # it, too, had ended before it heard of it
            assert (twin.status, on_twin.outcome) == ("cancelled", "cancelled")
        assert finetune.status == "queued"
        third, (shared, _) = make_experiment(
            session, contest, "third", config(seed=70 + started, finetune={"learning_rate": 1e-4})
        )
        assert shared.id == pretrain.id, "what was paid for is not paid for again"
        service.cancel_experiment(session, third)
        assert service.retry_experiment(session, third)[0].kind == "finetune"


def test_a_cancelled_run_that_ends_all_the_same_can_be_built_on(session: Session, contest: Contest) -> None:
    members = []
    for number in range(2):
        plain = config(pretrain=None, data={"split_by": "row"}, seed=80 + number)
        member, (run,) = make_experiment(session, contest, f"member {number}", plain)
        attempt, _ = claim(session, run)
        service.cancel_experiment(session, member)
        members.append((member.id, run, attempt))
    fusion = config(pretrain=None, fusion={"members": [number for number, _, _ in members], "method": "mean"})
    with pytest.raises(Refused, match="has no predictions to build on"):
        make_experiment(session, contest, "too early", fusion)
    for _, run, attempt in members:
        send(session, run, attempt, Finished(seconds=1))
        assert (run.status, run.cancel_requested, run.is_stopping) == ("finished", True, False)
    assert make_experiment(session, contest, "fused", fusion)[1][0].kind == "blend"


def test_two_who_ask_for_the_same_at_once_share_it(app: FastAPI) -> None:
    database: Database = app.state.database
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, app.state.storage, contest)
        contest_id = contest.id
    first_has_asked = Event()
    made: dict[str, int] = {}

    def ask(name: str, pause: float) -> None:
        with database.writing() as session:
            contest = session.get_one(Contest, contest_id)
            made[name] = make_experiment(session, contest, name, config())[1][0].id
            first_has_asked.set()
            time.sleep(pause)  # before it commits

    first = Thread(target=ask, args=("first", 0.5))
    first.start()
    assert first_has_asked.wait(20)
    ask("second", 0.0)
    first.join()
    assert made["first"] == made["second"]
