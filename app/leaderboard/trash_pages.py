"""HTML: the trash of a contest: what is about to go there and what that frees, what lies there, and emptying it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, Refused
from app.experiments.models import RemovedExperiment
from app.language import gettext as _
from app.language import ngettext
from app.leaderboard import trash, trash_queries
from app.leaderboard.compare_api import numbers
from app.leaderboard.selection import RowId
from app.leaderboard.table_text import write_csv
from app.leaderboard.trash import Emptied, Weighing
from app.security import Actor, member
from app.texts import in_bytes
from app.web import SessionDep, StorageDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SHOWN_REMOVED = 50


@dataclass(frozen=True)
class TrashPage:
    """leaderboard/trash.html. `asked`: rows that were selected, and are not in the trash yet; `held`: what lies there;
    `removed`: the latest of `removed_count` that went for good."""

    contest: Contest
    asked: Weighing | None
    held: Weighing
    removed: Sequence[RemovedExperiment]
    removed_count: int
    told: str


@router.get("/contests/{slug}/trash")
def show(request: Request, slug: str, session: SessionDep, ids: str = "") -> Response:
    """The trash, and, with `ids`, what throwing these away would free."""
    contest = contest_queries.contest(session, slug)
    if ids and not all(part.isascii() and part.isdigit() and len(part) < 19 for part in ids.split(",")):
        raise Refused(_("ids=%(ids)s: write numbers of experiments, 3,7", ids=ids[:50]))
    thrown = [item.experiment_id for item in trash_queries.trashed(session, contest.id)]
    gone = trash_queries.removed(session, contest.id)
    context = TrashPage(
        contest=contest,
        asked=trash.weigh(session, contest, numbers(ids)) if ids else None,
        held=trash.weigh(session, contest, thrown, emptying=True),
        removed=gone[:SHOWN_REMOVED],
        removed_count=len(gone),
        told=request.session.pop("told", ""),
    )
    return page(request, "leaderboard/trash.html", context)


@router.post("/contests/{slug}/trash")
def act(
    request: Request,
    slug: str,
    session: SessionDep,
    who: Annotated[Actor, Depends(member)],
    action: Annotated[str, Form()] = "",
    ids: Annotated[list[RowId] | None, Form()] = None,
) -> Response:
    """Throw rows away, or take them out again."""
    contest = contest_queries.contest(session, slug)
    try:
        if action == "throw":
            request.session["told"] = _thrown(trash.throw(session, contest, ids or [], who.name))
        elif action == "undo":
            taken = len(trash.take_out(session, contest, ids or []))
            request.session["told"] = ngettext(
                "%(num)d row is in the archive again.", "%(num)d rows are in the archive again.", taken
            )
        else:
            raise Refused(_("action %(action)s is none of throw, undo", action=repr(action[:30])))
    except AppError as error:
        request.session["told"] = error.message
    return RedirectResponse(f"/contests/{slug}/trash", 303)


@router.post("/contests/{slug}/trash/empty")
def empty(
    request: Request,
    slug: str,
    storage: StorageDep,
    who: Annotated[Actor, Depends(member)],
    with_scores: Annotated[list[RowId] | None, Form()] = None,
) -> Response:
    """Remove what lies there for good. It has sessions of its own: files go only after the commit of the rows."""
    found = trash.empty(request.app.state.database, storage, slug, who.name, with_scores=set(with_scores or ()))
    request.session["told"] = _emptied(found)
    return RedirectResponse(f"/contests/{slug}/trash", 303)


def _thrown(found: Weighing) -> str:
    done = len(found.going)
    told = ngettext(
        "%(num)d row is in the trash; emptying it frees %(size)s more.",
        "%(num)d rows are in the trash; emptying it frees %(size)s more.",
        done,
        size=in_bytes(found.size),
    )
    return told + _left({row.experiment.id: row.blocked for row in found.rows if row.blocked})


def _emptied(found: Emptied) -> str:
    told = ngettext(
        "%(num)d row is removed for good; %(size)s are freed.",
        "%(num)d rows are removed for good; %(size)s are freed.",
        len(found.done),
        size=in_bytes(found.size),
    )
    if found.waiting:
        told += " " + ngettext(
            "%(num)d file waits for an upload or a backup: `pairboard gc` removes it.",
            "%(num)d files wait for an upload or a backup: `pairboard gc` removes them.",
            found.waiting,
        )
    return told + _left(found.left)


def _left(left: dict[int, str]) -> str:
    """It goes by a cookie, so at most three reasons, and how many more there are."""
    if not left:
        return ""
    reasons = "; ".join(f"{number}: {why}" for number, why in list(left.items())[:3])
    more = _("; and %(count)s more", count=len(left) - 3) if len(left) > 3 else ""
    return " " + _("Left as they are: %(reasons)s%(more)s.", reasons=reasons, more=more)


@router.get("/contests/{slug}/trash/removed.csv")
def removed_csv(slug: str, session: SessionDep) -> Response:
    """Every score of every removed experiment, for a spreadsheet."""
    contest = contest_queries.contest(session, slug)
    header = ["id", "experiment", "split", "metric", "value", "text", "remark", "scored", "by", "removed by", "removed"]
    header += ["note", "config"]
    body = [
        [
            *(row.id, row.name, score["split"], score["metric"], score["value"], score["text"], score["note"]),
            *(score["created_at"], row.made_by, row.removed_by, row.removed_at.isoformat(), row.note),
            json.dumps(row.config, ensure_ascii=False) if row.config else "",
        ]
        for row in trash_queries.removed(session, contest.id)
        for score in row.scores
    ]
    headers = {"Content-Disposition": f'attachment; filename="{slug}-removed.csv"'}
    return Response(write_csv(header, body).encode(), media_type="text/csv; charset=utf-8", headers=headers)
