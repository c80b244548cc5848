"""REST of webhooks, for owners: list, add, switch, try, delete, and what was sent."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.contests import queries as contest_queries
from app.security import Actor, needs
from app.settings import Settings
from app.web import SessionDep, SettingsDep
from app.webhooks import queries, service
from app.webhooks.addresses import MOST_URL
from app.webhooks.models import Webhook, WebhookDelivery

router = APIRouter(prefix="/api/v1/contests/{slug}/webhooks", tags=["webhooks"], dependencies=[Depends(needs("admin"))])
Id = Annotated[int, Path(ge=1, lt=1 << 63)]
SHOWN = 50


class NewWebhook(BaseModel):
    """Where to send, and what."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=MOST_URL, examples=["https://example.com/hook"])
    events: list[str] = Field(max_length=10, examples=[["experiment.finished", "score.best"]])
    every_contest: bool = Field(False, description="of this contest alone, or of all")


class SwitchBody(BaseModel):
    """Whether it is told anything."""

    model_config = ConfigDict(extra="forbid")

    on: bool


class WebhookOut(BaseModel):
    """A webhook. Its secret is in the answer that made it, and in no other."""

    id: int
    url: str
    events: list[str]
    every_contest: bool
    on: bool
    created_by: str
    created_at: datetime


class MadeOut(WebhookOut):
    """With the secret by which `webhook-signature` is checked: HMAC-SHA256, see standardwebhooks.com."""

    secret: str


class DeliveryOut(BaseModel):
    """A message, and what became of it. `next_try_at`: null once it is over."""

    id: int
    message_id: str
    event: str
    outcome: str
    tries: int
    next_try_at: datetime | None
    last_error: str
    created_at: datetime
    ended_at: datetime | None
    body: str


def webhook_out(hook: Webhook) -> WebhookOut:
    """The JSON of a webhook, without its secret."""
    return WebhookOut(
        id=hook.id,
        url=hook.url,
        events=hook.events,
        every_contest=hook.contest_id is None,
        on=hook.disabled_at is None,
        created_by=hook.created_by,
        created_at=hook.created_at,
    )


def _delivery_out(delivery: WebhookDelivery) -> DeliveryOut:
    return DeliveryOut.model_validate(delivery, from_attributes=True)


def checked(request: Request, slug: str, body: NewWebhook) -> NewWebhook:
    """Looked at before the transaction begins: a name may take its time to resolve."""
    settings: Settings = request.app.state.settings
    with request.app.state.database.reading() as look:
        contest_queries.contest(look, slug)
    service.check(body.url, body.events, settings.webhook_allow)
    return body


@router.get("")
def read_webhooks(slug: str, session: SessionDep) -> list[WebhookOut]:
    """Those of the contest; for an owner of all, those of every contest, too."""
    contest = contest_queries.contest(session, slug)
    return [webhook_out(hook) for hook in queries.shown(session, contest.id)]


@router.post("", status_code=201)
def add_webhook(
    slug: str,
    body: Annotated[NewWebhook, Depends(checked)],
    session: SessionDep,
    settings: SettingsDep,
    who: Annotated[Actor, Depends(needs("admin"))],
    response: Response,
) -> MadeOut:
    """Add one. The answer holds its secret, which is not shown again."""
    contest = contest_queries.contest(session, slug)
    asked = service.Wanted(body.url, body.events, body.every_contest)
    hook, plain = service.add(session, contest, asked, who.name, settings.secret.get_secret_value())
    response.headers["Cache-Control"] = "no-store"
    return MadeOut(**webhook_out(hook).model_dump(), secret=plain)


@router.post("/{webhook_id}/secret")
def renew_secret(slug: str, webhook_id: Id, session: SessionDep, settings: SettingsDep, response: Response) -> MadeOut:
    """Another secret: for one that became known, or when PAIRBOARD_SECRET changed and the old one can't be read."""
    hook = queries.webhook(session, contest_queries.contest(session, slug).id, webhook_id)
    plain = service.renew(session, hook, settings.secret.get_secret_value())
    response.headers["Cache-Control"] = "no-store"
    return MadeOut(**webhook_out(hook).model_dump(), secret=plain)


@router.patch("/{webhook_id}")
def switch_webhook(slug: str, webhook_id: Id, body: SwitchBody, session: SessionDep) -> WebhookOut:
    """Switch it off or on."""
    hook = queries.webhook(session, contest_queries.contest(session, slug).id, webhook_id)
    service.switch(session, hook, on=body.on)
    return webhook_out(hook)


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(slug: str, webhook_id: Id, session: SessionDep) -> None:
    """Delete it with all that was sent to it."""
    service.delete(session, queries.webhook(session, contest_queries.contest(session, slug).id, webhook_id))


@router.post("/{webhook_id}/test", status_code=202)
def test_webhook(
    slug: str, webhook_id: Id, session: SessionDep, who: Annotated[Actor, Depends(needs("admin"))]
) -> DeliveryOut:
    """Have a message of the event `test` sent."""
    contest = contest_queries.contest(session, slug)
    hook = queries.webhook(session, contest.id, webhook_id)
    return _delivery_out(service.test(session, hook, contest, who.name))


@router.get("/{webhook_id}/deliveries")
def read_deliveries(slug: str, webhook_id: Id, session: SessionDep) -> list[DeliveryOut]:
    """The newest 50."""
    hook = queries.webhook(session, contest_queries.contest(session, slug).id, webhook_id)
    return [_delivery_out(delivery) for delivery in queries.deliveries(session, hook.id, SHOWN)]
