"""HTML, for owners: a contest's webhooks, what was sent to them, and what is done to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, Refused
from app.language import gettext as _
from app.security import Actor, needs
from app.settings import Settings
from app.web import SessionDep, SettingsDep, page
from app.webhooks import outbox, queries, service, vault
from app.webhooks.models import Webhook, WebhookDelivery

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs("admin"))])
SHOWN = 10


@dataclass(frozen=True)
class HookView:
    """A webhook, and the newest of what was sent to it. `readable`: its secret was not encrypted under another
    PAIRBOARD_SECRET."""

    hook: Webhook
    deliveries: Sequence[WebhookDelivery]
    readable: bool


@dataclass(frozen=True)
class WebhooksPage:
    """webhooks/page.html. `made`: one whose secret is new, and shown this once; `typed`, `chosen`: of the form."""

    contest: Contest
    hooks: Sequence[HookView]
    events: Mapping[str, str]
    made: Webhook | None = None
    secret: str = ""
    typed: str = ""
    chosen: Sequence[str] = tuple(outbox.EVENTS)
    every_contest: bool = False
    problem: str = ""


def _page(request: Request, session: Session, contest: Contest, status: int = 200, **more: object) -> Response:
    secret = request.app.state.settings.secret.get_secret_value()
    hooks = [
        HookView(hook, queries.deliveries(session, hook.id, SHOWN), vault.is_readable(hook.secret, secret))
        for hook in queries.shown(session, contest.id)
    ]
    context = WebhooksPage(contest, hooks, dict(outbox.EVENTS), **more)  # type: ignore[arg-type]  # fields of it
    headers = {"Cache-Control": "no-store"} if context.secret else None
    return page(request, "webhooks/page.html", context, status, headers)


@router.get("/contests/{slug}/webhooks")
def show(request: Request, slug: str, session: SessionDep) -> Response:
    """Those of the contest; for an owner of all, those of every contest, too."""
    return _page(request, session, contest_queries.contest(session, slug))


@router.post("/contests/{slug}/webhooks")
def add(
    request: Request,
    slug: str,
    session: SessionDep,
    who: Annotated[Actor, Depends(needs("admin"))],
    url: Annotated[str, Form()] = "",
    events: Annotated[list[str] | None, Form()] = None,
    every_contest: Annotated[bool, Form()] = False,
) -> Response:
    """Add one and show its secret once; or say what is wrong, with what was typed."""
    settings: Settings = request.app.state.settings
    contest, chosen = contest_queries.contest(session, slug), events or []
    try:
        service.check(url.strip(), chosen, settings.webhook_allow)
        asked = service.Wanted(url.strip(), chosen, every_contest)
        made, plain = service.add(session, contest, asked, who.name, settings.secret.get_secret_value())
    except AppError as error:
        typed = {"typed": url, "chosen": chosen, "every_contest": every_contest}
        return _page(request, session, contest, error.status, problem=error.message, **typed)
    return _page(request, session, contest, 201, made=made, secret=plain)


@router.post("/contests/{slug}/webhooks/{webhook_id}")
def act(
    request: Request,
    slug: str,
    webhook_id: int,
    session: SessionDep,
    settings: SettingsDep,
    who: Annotated[Actor, Depends(needs("admin"))],
    action: Annotated[str, Form()] = "",
) -> Response:
    """Try it, switch it off or on, give it another secret, delete it."""
    contest = contest_queries.contest(session, slug)
    hook = queries.webhook(session, contest.id, webhook_id)
    if action == "test":
        service.test(session, hook, contest, who.name)
    elif action in {"off", "on"}:
        service.switch(session, hook, on=action == "on")
    elif action == "secret":
        plain = service.renew(session, hook, settings.secret.get_secret_value())
        return _page(request, session, contest, made=hook, secret=plain)
    elif action == "delete":
        service.delete(session, hook)
    else:
        raise Refused(_("action %(action)s is none of test, off, on, secret, delete", action=repr(action[:30])))
    return RedirectResponse(f"/contests/{slug}/webhooks", 303)
