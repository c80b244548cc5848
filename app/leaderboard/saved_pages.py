"""HTML: what is done to saved views; the leaderboard shows them."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, Refused
from app.language import gettext as _
from app.leaderboard import saved
from app.leaderboard.pages import shown
from app.leaderboard.view_api import ViewDep
from app.security import Actor, member
from app.web import SessionDep

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@router.post("/contests/{slug}/views")
def act(
    request: Request,
    background: BackgroundTasks,
    slug: str,
    session: SessionDep,
    view: ViewDep,
    who: Annotated[Actor, Depends(member)],
    action: Annotated[str, Form()] = "save",
    name: Annotated[str, Form()] = "",
    of: Annotated[str, Form()] = "",
    overwrite: Annotated[bool, Form()] = False,
    default: Annotated[bool, Form()] = False,
) -> Response:
    """Save what is shown as `name`; or rename, overwrite, delete the view `of`, or make it the default. What can't be
    done is said on the same page, with what was typed."""
    contest = contest_queries.contest(session, slug)
    back = view
    try:
        with session.begin_nested():
            if action == "save":
                saved.save(session, contest, name, view, who.name, default=default or None, overwrite=overwrite)
                told = _("This view is saved as %(name)s.", name=name.strip())
            elif action == "overwrite":
                saved.save(session, contest, of, view, who.name, default=None, overwrite=True)
                told = _("This view is saved as %(name)s.", name=of)
            else:
                told = _change(session, contest, action, of, name)
    except AppError as error:
        return shown(request, background, session, slug, view, problem=error.message, typed=name, status=error.status)
    request.session["told"] = told
    return RedirectResponse(f"/contests/{slug}{back.address()}", 303)


def _change(session: Session, contest: Contest, action: str, of: str, name: str) -> str:
    """Do it to the view `of`; in a sentence what was done."""
    found = saved.find(session, contest, of)
    if action == "rename":
        saved.rename(session, contest, found, name)
        return _("The view %(before)s is called %(name)s now.", before=of, name=found.name)
    if action in {"default", "plain"}:
        saved.set_default(session, contest, found, default=action == "default")
        if action == "default":
            return _("Whoever opens the contest sees the view %(name)s now.", name=of)
        return _("Whoever opens the contest sees the whole table now.")
    if action == "delete":
        saved.delete(session, found)
        return _("The view %(name)s is deleted; the rows stay.", name=of)
    raise Refused(_("action %(action)s is none of save, overwrite, rename, default, plain, delete", action=action[:30]))
