"""Reads of webhooks and their deliveries."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.accounts import access
from app.errors import NotFound
from app.language import gettext as _
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.sending import PREFIX


def webhooks(session: Session, contest_id: int) -> Sequence[Webhook]:
    """Those of the contest and those of every contest, oldest first."""
    mine = or_(Webhook.contest_id == contest_id, Webhook.contest_id.is_(None))
    return session.scalars(select(Webhook).where(mine).order_by(Webhook.id)).all()


def in_the_open(session: Session) -> Sequence[Webhook]:
    """Those whose secret lies there as it is, held until the commit: several processes may start at once."""
    query = select(Webhook).where(Webhook.secret.startswith(PREFIX, autoescape=True)).order_by(Webhook.id)
    return session.scalars(query.with_for_update()).all()


def shown(session: Session, contest_id: int) -> Sequence[Webhook]:
    """Those of them that are there for who asks: those of every contest are told of the others, too."""
    return [item for item in webhooks(session, contest_id) if _is_shown(item)]


def _is_shown(hook: Webhook) -> bool:
    return hook.contest_id is not None or access.everywhere()


def webhook(session: Session, contest_id: int, webhook_id: int) -> Webhook:
    """One of these. Raises NotFound."""
    found = session.get(Webhook, webhook_id)
    if found is None or found.contest_id not in {contest_id, None} or not _is_shown(found):
        raise NotFound(_("this contest has no webhook %(id)s", id=webhook_id))
    return found


def listening(session: Session, contest_id: int, event: str) -> list[Webhook]:
    """Who is to be told of this."""
    return [item for item in webhooks(session, contest_id) if item.disabled_at is None and event in item.events]


def deliveries(session: Session, webhook_id: int, limit: int | None) -> Sequence[WebhookDelivery]:
    """The newest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    return session.scalars(query.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def due(session: Session, now: datetime, limit: int) -> Sequence[tuple[WebhookDelivery, Webhook]]:
    """What is to be sent now, the longest overdue first; rows that another process takes at this moment are left."""
    query = (
        select(WebhookDelivery, Webhook)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.next_try_at <= now, Webhook.disabled_at.is_(None))
        .order_by(WebhookDelivery.next_try_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
    )
    return [(delivery, hook) for delivery, hook in session.execute(query)]


def is_any_due(session: Session, now: datetime) -> bool:
    """Whether it is worth a transaction that writes."""
    query = select(WebhookDelivery.id).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
    found = query.where(WebhookDelivery.next_try_at <= now, Webhook.disabled_at.is_(None)).limit(1)
    return session.scalar(found) is not None


def ended_before(session: Session, moment: datetime, limit: int) -> Sequence[WebhookDelivery]:
    """Deliveries that are over since."""
    return session.scalars(select(WebhookDelivery).where(WebhookDelivery.ended_at < moment).limit(limit)).all()
