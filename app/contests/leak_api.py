"""REST: leak audits of a contest's files on demand, and what audits found of an experiment's splits."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.contests import auditing, facts, queries
from app.contests.facts import Known, Want
from app.db import Database
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.runs.audits import audits
from app.security import member
from app.storage import Storage
from app.web import SessionDep, StorageDep
from ml.contract.leaks import BLIND_SPOTS, AuditAnswer, Check, Drift, LeakReport, Verdict

router = APIRouter(prefix="/api/v1", tags=["data"], dependencies=[Depends(member)])
Id = Annotated[int | None, Field(ge=1, lt=1 << 63)]


class AuditBody(BaseModel):
    """Which files, and how the train file is divided: the groups `data` and `augment` of a config, and its seed."""

    model_config = ConfigDict(extra="forbid")

    train_file_id: Id = Field(None, description="null: the contest's newest train file")
    valid_file_id: Id = Field(None, description="a labelled file held out by a person; then config counts for nothing")
    test_file_id: Id = Field(None, description="null: none")
    config: dict[str, Any] = Field(default_factory=dict, examples=[{"data": {"split_by": "row"}}])
    fold: int = Field(0, ge=0, le=19, description="which fold is held out, where config.data.folds says that there are")


class AuditOut(BaseModel):
    """`report` and `error` are null and empty while it is being made: ask again. `error`: why there can be none."""

    report: LeakReport | None
    error: str
    blind_spots: tuple[str, ...] = BLIND_SPOTS


class RunAuditOut(BaseModel):
    """What was found of the split of one run. `report` is null until the run has ended."""

    run_id: int
    kind: str
    fold: int | None
    repeat: int
    verdict: Verdict
    checks: tuple[Check, ...]
    drifts: tuple[Drift, ...]
    report: LeakReport | None


class LeaksOut(BaseModel):
    """Of an experiment: the worst verdict (empty: none yet), and each audited run."""

    audit: str
    runs: list[RunAuditOut]
    blind_spots: tuple[str, ...] = BLIND_SPOTS


def wanted(session: Session, slug: str, body: AuditBody) -> Want:
    """What a body asks for. Raises Refused, NotFound."""
    config = experiments.build_config("", body.config)
    files = {"train": body.train_file_id, "valid": body.valid_file_id, "test": body.test_file_id}
    return auditing.want(session, queries.contest(session, slug), files, config, body.fold)


def make(request: Request, background: BackgroundTasks, slug: str, body: AuditBody) -> tuple[Want, Known]:
    """Make an audit now, or after the answer has left if the files are large. The request's own session would hold the
    one writer of SQLite meanwhile."""
    database: Database = request.app.state.database
    storage: Storage = request.app.state.storage
    with database.reading() as session:
        want = wanted(session, slug, body)
        known = facts.look(session, database, storage, [want], auditing.SMALL_ROWS)
    if known.later:
        background.add_task(facts.count, database, storage, known.later)
    return want, known


@router.post(
    "/contests/{slug}/audits", responses={202: {"model": AuditOut, "description": "it is being made: ask again"}}
)
def make_audit(
    request: Request, slug: str, body: AuditBody, background: BackgroundTasks, response: Response
) -> AuditOut:
    """Audit a split for leaks: 200 with the report, or 202 while it is being made; ask the same again for it."""
    want, known = make(request, background, slug, body)
    answer = known.audit(want)
    response.status_code = 200 if answer else 202
    answer = answer or AuditAnswer()
    return AuditOut(report=answer.report, error=answer.error)


@router.get("/experiments/{experiment_id}/leaks")
def read_leaks(
    experiment_id: Annotated[int, Path(ge=1, lt=1 << 63)], session: SessionDep, storage: StorageDep
) -> LeaksOut:
    """What leak audits found of the splits that an experiment's runs train on."""
    experiment = experiment_queries.experiment(session, experiment_id)
    return LeaksOut(
        audit=experiment.audit,
        runs=[
            RunAuditOut(
                run_id=item.run.id,
                kind=item.run.kind,
                fold=item.run.fold,
                repeat=item.run.repeat,
                verdict=cast(Verdict, item.verdict),
                checks=item.checks,
                drifts=item.drifts,
                report=item.report,
            )
            for item in audits(session, storage, experiment)
        ],
    )
