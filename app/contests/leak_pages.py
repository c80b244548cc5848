"""HTML: what leak audits found of an experiment's splits, and an audit of a contest's files on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import facts, queries
from app.contests.leak_api import AuditBody, make, wanted
from app.contests.models import Contest, ContestFile
from app.errors import AppError, FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.filled_pages import number
from app.experiments.models import Experiment
from app.language import N_
from app.language import gettext as _
from app.runs.audits import RunAudit, audits
from app.security import member
from app.web import SessionDep, StorageDep, page
from ml.contract.leaks import BLIND_SPOTS, CHECKS, DRIFTS, SECONDS, VERDICTS, AuditAnswer

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
#: which augmentation the form can ask for: of a config, its group `augment`
MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "none": (N_("none"), {}),
    "after": (N_("closure after the split"), {"closure_positives": True, "closure_negatives": True}),
    "before": (
        N_("closure before the split (the classic leak)"),
        {"closure_positives": True, "closure_negatives": True, "augment_before_split": True},
    ),
}
#: what the form shows before anybody typed
EMPTY = {
    "split_by": "component",
    "valid_fraction": "0.1",
    "folds": "0",
    "fold": "0",
    "split_seed": "42",
    "made": "none",
}
_NAMES = ("train", "valid", "test", *EMPTY)


@dataclass(frozen=True)
class Words:
    """Titles and meanings of what a report holds, in English as the contract has them."""

    checks: Mapping[str, tuple[str, str]]
    drifts: Mapping[str, tuple[str, str]]
    seconds: Mapping[str, str]
    verdicts: Mapping[str, str]
    blind_spots: Sequence[str]


WORDS = Words(CHECKS, DRIFTS, SECONDS, {str(key): text for key, text in VERDICTS.items()}, BLIND_SPOTS)


@dataclass(frozen=True)
class LeaksPage:
    """contests/leaks.html. `files`: the ids of the files that lines are of (train, valid, test); `members`: of a
    fusion, which holds nothing out itself."""

    contest: Contest
    experiment: Experiment
    audits: list[RunAudit]
    words: Words
    files: dict[str, int | None]
    members: list[Experiment]
    component_safe: bool


@dataclass(frozen=True)
class AuditPage:
    """contests/audit.html. `answer` is None where nothing was asked, or it is not made yet (`asked`)."""

    contest: Contest
    train_files: Sequence[ContestFile]
    test_files: Sequence[ContestFile]
    typed: Mapping[str, str]
    made: Mapping[str, tuple[str, dict[str, Any]]]
    asked: bool
    answer: AuditAnswer | None
    words: Words
    files: dict[str, int | None]
    error: str


@router.get("/experiments/{experiment_id}/leaks")
def show_leaks(request: Request, experiment_id: int, session: SessionDep, storage: StorageDep) -> Response:
    """Each check of the audit, with numbers and the worst examples."""
    experiment = experiment_queries.experiment(session, experiment_id)
    config = experiment.config or {}
    fusion = config.get("fusion") or {}
    context = LeaksPage(
        contest=queries.contest_by_id(session, experiment.contest_id),
        experiment=experiment,
        audits=audits(session, storage, experiment),
        words=WORDS,
        files={
            "train": experiment.train_file_id,
            "valid": experiment.train_file_id,
            "test": experiment.test_file_id,
        },
        members=[experiment_queries.experiment(session, member) for member in fusion.get("members", ())],
        component_safe=config.get("data", {}).get("split_by") == "twins",
    )
    return page(request, "contests/leaks.html", context)


@router.get("/contests/{slug}/audit")
def show_audit(request: Request, slug: str, session: SessionDep) -> Response:
    """The form, and what was found if this was asked before."""
    typed = {name: request.query_params.get(name, "") for name in _NAMES}
    asked = bool(typed["train"])
    error, answer = "", None
    if asked:
        try:
            want = wanted(session, slug, _body(typed))
            answer = facts.known(session, [want]).audit(want)
        except AppError as refused:
            error = refused.message
    return _page(request, session, slug, typed, asked=asked and not error, answer=answer, error=error)


@router.post("/contests/{slug}/audit")
async def start_audit(request: Request, slug: str, background: BackgroundTasks) -> Response:
    """Make it, and go where it can be read."""
    async with request.form() as form:
        typed = {name: str(form.get(name, "")) for name in _NAMES}
    return await run_in_threadpool(_start, request, slug, background, typed)


def _start(request: Request, slug: str, background: BackgroundTasks, typed: dict[str, str]) -> Response:
    try:
        make(request, background, slug, _body(typed))
    except AppError as error:
        with request.app.state.database.reading() as session:
            return _page(
                request, session, slug, typed, asked=False, answer=None, error=error.message, status=error.status
            )
    query = urlencode({name: value for name, value in typed.items() if value})
    return RedirectResponse(f"/contests/{slug}/audit?{query}", 303)


def _page(
    request: Request,
    session: Session,
    slug: str,
    typed: Mapping[str, str],
    *,
    asked: bool,
    answer: AuditAnswer | None,
    error: str,
    status: int = 200,
) -> Response:
    contest = queries.contest(session, slug)
    train, test = (queries.files(session, contest.id, kind) for kind in ("train", "test"))
    chosen = {name: _id(typed.get(name, "")) for name in ("train", "valid", "test")}
    context = AuditPage(
        contest=contest,
        train_files=train,
        test_files=test,
        typed={**typed, **{name: typed.get(name) or value for name, value in EMPTY.items()}},
        made=MADE,
        asked=asked,
        answer=answer,
        words=WORDS,
        files={**chosen, "valid": chosen["valid"] or chosen["train"]},
        error=error,
    )
    return page(request, "contests/audit.html", context, status)


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _body(typed: Mapping[str, str]) -> AuditBody:
    """What the form asks for. Raises Refused."""
    values = {name: typed.get(name, "").strip() or default for name, default in EMPTY.items()}
    if values["made"] not in MADE:
        raise Refused(_("%(value)s is none of the choices", value=repr(values["made"][:30])))
    data = {name: values[name] for name in ("split_by", "valid_fraction", "folds", "split_seed")}
    fold = number(values["fold"]) or 0
    if fold > 19:
        message = _("fold %(fold)s: there are at most 20, counted from 0", fold=fold)
        raise Refused(message, [FieldError("fold", message, str(fold))])
    return AuditBody(
        train_file_id=number(typed.get("train")),
        valid_file_id=number(typed.get("valid")),
        test_file_id=number(typed.get("test")),
        config={"data": data, "augment": MADE[values["made"]][1]},
        fold=fold,
    )
