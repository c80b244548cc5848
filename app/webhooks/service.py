"""Adding webhooks, switching them off and on, trying them."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.accounts import access
from app.contests.models import Contest
from app.db import clock
from app.errors import Conflict, FieldError, Forbidden, Refused
from app.language import gettext as _
from app.webhooks import outbox, queries, vault
from app.webhooks.addresses import NotAllowed, place_of
from app.webhooks.models import Webhook, WebhookDelivery
from app.webhooks.sending import new_secret

#: each event is a message to each of them
MOST_WEBHOOKS = 20


@dataclass(frozen=True)
class Wanted:
    """A webhook to be added: where to, of what, and of this contest or of all."""

    url: str
    events: Collection[str]
    every_contest: bool = False


def check(url: str, events: Collection[str], allow: str) -> None:
    """Raise Refused for an address where a webhook may not lead, and for events that there are none. Resolves the
    address, which may take a while: no transaction should wait for it."""
    problems = []
    try:
        place_of(url, allow)
    except NotAllowed as error:
        problems.append(FieldError("url", str(error), url[:100]))
    if not events or set(events) - set(outbox.EVENTS):
        unknown = ", ".join(sorted(set(events) - set(outbox.EVENTS)))
        message = _("choose at least one of %(names)s", names=", ".join(outbox.EVENTS))
        problems.append(FieldError("events", message, unknown[:100]))
    if problems:
        raise Refused("; ".join(f"{item.field}: {item.message}" for item in problems), problems)


def add(session: Session, contest: Contest, asked: Wanted, who: str, secret: str) -> tuple[Webhook, str]:
    """A new one, checked before, and what signs for it, which is shown once and kept under PAIRBOARD_SECRET. Raises
    Conflict for the same address twice, or one too many; Forbidden where it would be told of contests that who asks
    does not own."""
    if asked.every_contest and not access.everywhere():
        raise Forbidden(_("a webhook of every contest is added by an owner of all: add one of this contest alone"))
    standing = queries.webhooks(session, contest.id)
    if len(standing) >= MOST_WEBHOOKS:
        raise Conflict(_("a contest has at most %(most)s webhooks: delete one first", most=MOST_WEBHOOKS))
    contest_id = None if asked.every_contest else contest.id
    if any((item.url, item.contest_id) == (asked.url, contest_id) for item in standing):
        message = _("there is a webhook to this address already")
        raise Conflict(message, [FieldError("url", message, asked.url[:100])])
    plain = new_secret()
    hook = Webhook(
        contest_id=contest_id,
        url=asked.url,
        secret=vault.sealed(plain, secret),
        events=[event for event in outbox.EVENTS if event in asked.events],
        created_by=who,
        created_at=clock(session),
    )
    session.add(hook)
    session.flush()
    return hook, plain


def renew(session: Session, hook: Webhook, secret: str) -> str:
    """Another secret, which is shown once; what is sent from now on is signed with it."""
    plain = new_secret()
    hook.secret = vault.sealed(plain, secret)
    session.flush()
    return plain


def encrypt_all(session: Session, secret: str) -> int:
    """Those that lie in the open, from a time without PAIRBOARD_SECRET; how many there were."""
    hooks = queries.in_the_open(session) if secret else []
    for hook in hooks:
        hook.secret = vault.sealed(hook.secret, secret)
    session.flush()
    return len(hooks)


def switch(session: Session, hook: Webhook, *, on: bool) -> None:
    """Off: nothing is written down for it, and what waits stays. On again: that is sent."""
    hook.disabled_at = None if on else hook.disabled_at or clock(session)
    session.flush()


def delete(session: Session, hook: Webhook) -> None:
    """With all that was sent to it, and what waits."""
    for delivery in queries.deliveries(session, hook.id, None):
        session.delete(delivery)
    session.flush()
    session.delete(hook)
    session.flush()


def test(session: Session, hook: Webhook, contest: Contest, who: str) -> WebhookDelivery:
    """Have a message of no meaning sent. Raises Conflict for one that is switched off."""
    if hook.disabled_at is not None:
        raise Conflict(_("webhook %(id)s is switched off: switch it on first", id=hook.id))
    data = {"contest": contest.slug, "by": who}
    return outbox.put(session, hook, outbox.TEST, data, clock(session))
