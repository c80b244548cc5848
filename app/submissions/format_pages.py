"""HTML: the form of a contest's prediction files."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries
from app.contests.models import Contest
from app.errors import Refused
from app.language import N_
from app.security import member
from app.submissions import format as formats
from app.submissions.format import COLUMNS, SubmissionFormat
from app.submissions.sample import Sample, sample_of
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SEPARATORS = {"tab": N_("tab"), "comma": N_("comma")}
LINE_ENDS = {"lf": N_("line feed (Unix)"), "crlf": N_("carriage return and line feed (Windows)")}


@dataclass(frozen=True)
class FormatPage:
    """submissions/format.html. `typed`: what stands in the form; `sample`: the first lines in it, None when it is
    refused; `saved`: the sample is of what is kept."""

    contest: Contest
    typed: dict[str, Any]
    errors: dict[str, str]
    sample: Sample | None
    saved: bool
    columns: dict[str, str]
    separators: dict[str, str]
    line_ends: dict[str, str]


@router.get("/contests/{slug}/format")
def show(request: Request, slug: str, session: SessionDep) -> Response:
    """The form as it is."""
    contest = queries.contest(session, slug)
    return page(request, "submissions/format.html", _page(request, session, contest, formats.format_of(contest)))


@router.post("/contests/{slug}/format")
def change(
    request: Request,
    slug: str,
    session: SessionDep,
    action: Annotated[str, Form()] = "save",
    columns: Annotated[str, Form()] = "",
    header: Annotated[str, Form()] = "",
    separator: Annotated[str, Form()] = "",
    decimals: Annotated[str, Form()] = "",
    first_id: Annotated[str, Form()] = "",
    line_end: Annotated[str, Form()] = "",
    zipped: Annotated[bool, Form()] = False,
    file_name: Annotated[str, Form()] = "",
) -> Response:
    """Keep it, or only show what it would look like."""
    contest = queries.contest(session, slug)
    typed: dict[str, Any] = {"columns": columns, "header": header, "separator": separator, "decimals": decimals}
    typed |= {"first_id": first_id, "line_end": line_end, "zipped": zipped, "file_name": file_name}
    try:
        form = formats.checked(_values(typed))
    except Refused as error:
        errors = {item.field: item.message for item in error.fields}
        context = FormatPage(contest, typed, errors, None, False, COLUMNS, SEPARATORS, LINE_ENDS)
        return page(request, "submissions/format.html", context, error.status)
    if action == "preview":
        context = _page(request, session, contest, form, saved=False)
        return page(request, "submissions/format.html", context)
    formats.set_format(session, contest, form)
    return RedirectResponse(f"/contests/{slug}/format", 303)


def _page(
    request: Request, session: Session, contest: Contest, form: SubmissionFormat, *, saved: bool = True
) -> FormatPage:
    values = form.model_dump()
    typed = {
        **values,
        "columns": ", ".join(form.columns),
        "header": ", ".join(form.header),
        "decimals": "" if form.decimals is None else str(form.decimals),
        "first_id": str(form.first_id),
    }
    sample = sample_of(session, request.app.state.storage, contest, form)
    return FormatPage(contest, typed, {}, sample, saved, COLUMNS, SEPARATORS, LINE_ENDS)


def _values(typed: dict[str, Any]) -> dict[str, Any]:
    """As the model takes them: lists divided by commas, numbers."""
    first = typed["first_id"].strip()
    return {
        **typed,
        "columns": _parts(typed["columns"]),
        "header": _parts(typed["header"]),
        "decimals": typed["decimals"].strip() or None,
        "first_id": int(first) if first in {"0", "1"} else first,
        "file_name": typed["file_name"].strip(),
    }


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split("[,，、]", text)] if text.strip() else []
