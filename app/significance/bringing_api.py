"""REST: predictions of a row that was trained elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from pydantic import BaseModel, Field

from app.contests import queries as contest_queries
from app.experiments import queries
from app.experiments.api import ScoreOut, score_out
from app.runs import queries as run_queries
from app.security import Actor, member, needs
from app.significance import bringing
from app.submissions import uploaded
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["experiments"], dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]
SUBMITS = [Depends(needs("submit"))]
Valid = Annotated[
    UploadFile | None,
    File(description="lines of row (of the train file's good rows, from 0), label, probability, divided by tabs"),
]
Test = Annotated[UploadFile | None, File(description="in the contest's form, see submission-format")]


class BroughtOut(BaseModel):
    """What the row has now. `files`: by name their SHA-256."""

    run_id: int = Field(description="the run that stands for the training elsewhere")
    train_file_id: int
    test_file_id: int | None
    files: dict[str, str]
    scores: list[ScoreOut] = Field(description="of the rows held out, computed from what was brought")


@router.post("/experiments/{experiment_id}/predictions", status_code=201, dependencies=SUBMITS)
def bring_predictions(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    valid: Valid = None,
    test: Test = None,
    train_file_id: Annotated[int | None, Form(description="whose rows they are; empty: the newest")] = None,
) -> BroughtOut:
    """Of a row that was trained elsewhere (an imported one) what it predicted for rows that it held out, for the test
    file, or both: from then on it takes part in noise tests and blends, and is checked and sent as any other."""
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        experiment = queries.experiment(look, experiment_id)
        contest = contest_queries.contest_by_id(look, experiment.contest_id)
        train = bringing.train_file(look, contest, train_file_id)
        held = bringing.read_valid(storage, train, valid.file.read(), valid.filename or "valid") if valid else None
        came = uploaded.came(look, storage, contest, test.file, test.filename or "") if test else None
    experiment = queries.experiment(session, experiment_id)
    run = bringing.bring(session, storage, contest, experiment, train=train, held=held, came=came, who=who.name)
    rows = queries.scores_of_run(session, run.id)
    return BroughtOut(
        run_id=run.id,
        train_file_id=run.train_file_id,
        test_file_id=run.test_file_id,
        files={item.name: item.sha256 for item in run_queries.artifacts_of(session, run)},
        scores=[score_out(row) for row in rows],
    )
