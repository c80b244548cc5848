"""A thread of the web process: sends what the outbox holds, and tries again, later each time.

Several web processes may do it at once: a message that one of them sends lies a while ahead for the others. A process
that dies meanwhile leaves it to be sent again: receivers know a message by its webhook-id.
"""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from app.db import Database, clock
from app.errors import Conflict
from app.settings import Settings
from app.webhooks import queries, sending, vault
from app.webhooks.models import WebhookDelivery

log = logging.getLogger(__name__)
#: after the first try, the second, ...; then it is given up
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3600, 6 * 3600))
AT_ONCE = 10
#: longer than a message may take, ten times: those behind a slow one in the same turn
HELD = timedelta(seconds=sending.DEADLINE_S * AT_ONCE * 2)
KEPT = timedelta(days=30)
TIDY_EVERY_S = 3600.0


class Postman:
    """Started and stopped by main's lifespan."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._stop = threading.Event()
        self._tidied_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="postman", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; a message under way may be sent again by the next process."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.sweep_seconds):
            try:
                while self.deliver() and not self._stop.is_set():
                    pass
                if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
                    self._tidied_at = time.monotonic()
                    self.forget()
            except SQLAlchemyError:
                log.exception("webhooks could not be sent; the next turn tries again")

    def deliver(self) -> int:
        """One turn: send what is due; how many these were."""
        with self._database.reading() as session:
            if not queries.is_any_due(session, clock(session)):
                return 0
        with self._database.writing() as session:
            now = clock(session)
            taken = queries.due(session, now, AT_ONCE)
            for delivery, _hook in taken:
                delivery.next_try_at, delivery.tries = now + HELD, delivery.tries + 1
        for delivery, hook in taken:
            allow = self._settings.webhook_allow
            try:
                secret = vault.opened(hook.secret, self._settings.secret.get_secret_value())
            except Conflict as error:
                self._note(delivery.id, error.message)
                continue
            problem = sending.send(hook.url, secret, delivery.message_id, delivery.body, datetime.now(UTC), allow)
            self._note(delivery.id, problem)
        return len(taken)

    def _note(self, delivery_id: int, problem: str) -> None:
        with self._database.writing() as session:
            delivery = session.get(WebhookDelivery, delivery_id)
            if delivery is None:  # its webhook was deleted meanwhile
                return
            now, left = clock(session), PAUSES[delivery.tries - 1 : delivery.tries]
            delivery.last_error = problem
            if problem and left:
                delivery.next_try_at = now + left[0]
                return
            delivery.outcome, delivery.next_try_at, delivery.ended_at = "failed" if problem else "delivered", None, now
            if problem:
                log.warning("webhook %s: message %s is given up: %s", delivery.webhook_id, delivery.message_id, problem)

    def forget(self) -> None:
        """Remove what was over a month ago."""
        with self._database.writing() as session:
            for delivery in queries.ended_before(session, clock(session) - KEPT, 1000):
                session.delete(delivery)
