"""What happened is written down for each webhook that listens, in the transaction in which it happened.

Called where it happens: runs/lifecycle, experiments/service. postman.py sends it after the commit.
"""

import json
import uuid
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import clock
from app.language import N_
from app.webhooks import queries
from app.webhooks.models import Webhook, WebhookDelivery

Event = Literal["experiment.finished", "experiment.failed", "score.best"]
EVENTS: dict[Event, str] = {
    "experiment.finished": N_("an experiment finished"),
    "experiment.failed": N_("an experiment failed"),
    "score.best": N_("a score is the best so far"),
}
TEST = "test"


def note(session: Session, contest_id: int, event: Event, data: dict[str, Any]) -> None:
    """Write it down for whoever listens; nothing where nobody does."""
    hooks = queries.listening(session, contest_id, event)
    if hooks:
        contest = contest_queries.contest_by_id(session, contest_id).slug
        for hook in hooks:
            put(session, hook, event, {"contest": contest, **data}, clock(session))


def is_heard(session: Session, contest_id: int, event: Event) -> bool:
    """Whether anybody listens: what is told may take a while to find out."""
    return bool(queries.listening(session, contest_id, event))


def put(session: Session, hook: Webhook, event: str, data: dict[str, Any], now: datetime) -> WebhookDelivery:
    """One message to one webhook, to be sent at once."""
    body = json.dumps({"type": event, "timestamp": now.isoformat(), "data": data}, ensure_ascii=False)
    delivery = WebhookDelivery(
        webhook_id=hook.id,
        message_id=f"msg_{uuid.uuid4().hex}",
        event=event,
        body=body,
        next_try_at=now,
        created_at=now,
    )
    session.add(delivery)
    session.flush()
    return delivery
