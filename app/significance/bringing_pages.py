"""HTML: the form on the page of a row that was trained elsewhere, by which its predictions are brought."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from app.contests import queries as contest_queries
from app.errors import AppError
from app.experiments import queries
from app.experiments.pages import CHARTS, page_of
from app.security import member
from app.significance import bringing
from app.significance.bringing_api import SUBMITS, Member, Test, Valid
from app.submissions import uploaded
from app.web import SessionDep, StorageDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@router.post("/experiments/{experiment_id}/predictions", dependencies=SUBMITS)
def bring_predictions(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    valid: Valid = None,
    test: Test = None,
    train_file_id: Annotated[str, Form()] = "",
) -> Response:
    """Bring them, and look at the row."""
    try:
        with request.app.state.database.reading() as look:  # or the parse would hold SQLite's one write transaction
            experiment = queries.experiment(look, experiment_id)
            contest = contest_queries.contest_by_id(look, experiment.contest_id)
            train = bringing.train_file(look, contest, int(train_file_id) if train_file_id.isdecimal() else None)
            held, came = None, None
            if valid is not None and valid.filename:  # a form sends an empty field all the same
                held = bringing.read_valid(storage, train, valid.file.read(), valid.filename)
            if test is not None and test.filename:
                came = uploaded.came(look, storage, contest, test.file, test.filename)
        experiment = queries.experiment(session, experiment_id)
        bringing.bring(session, storage, contest, experiment, train=train, held=held, came=came, who=who.name)
    except AppError as error:
        context = page_of(request, session, experiment_id, bring_error=error.message)
        return page(request, "experiments/page.html", context, error.status, headers=CHARTS)
    return RedirectResponse(f"/experiments/{experiment_id}#elsewhere", 303)
