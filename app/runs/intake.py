"""Takes in what an attempt reports: events in order, each stored exactly once, each with its effect on the rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.db import in_json
from app.errors import Conflict, Refused
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.runs import audits, curve_service, event_queries, graph, lifecycle, queries
from app.runs.models import Attempt, Run, RunEvent
from ml.contract.events import (
    EVENT,
    Artifact,
    Audited,
    Cancelled,
    Checkpointed,
    Crashed,
    DataRead,
    Evaluated,
    Event,
    EventAnswer,
    EventBatch,
    Failed,
    Finished,
    Measured,
    Progress,
    Resumed,
    Returned,
    Scored,
    Started,
    Verified,
)

#: as JSON writes it
_NUL = "\\u0000"


def require_current(run: Run, attempt: Attempt) -> None:
    """The fence of every write. Raises Conflict for an attempt that no longer holds its run."""
    if attempt.outcome or run.status != "running" or run.attempt != attempt.number:
        raise Conflict(
            f"attempt {attempt.number} no longer holds run {run.id} ({attempt.reason or run.status}): "
            "stop and drop its work"
        )


def heartbeat(session: Session, run: Run, attempt: Attempt, lease: timedelta, now: datetime) -> EventAnswer:
    """The worker lives: its lease goes on."""
    require_current(run, attempt)
    attempt.heartbeat_at, attempt.lease_until = now, now + lease
    session.flush()
    return EventAnswer(stored=attempt.stored_events, stop=run.cancel_requested)


def store(
    session: Session, run: Run, attempt: Attempt, batch: EventBatch, lease: timedelta, now: datetime
) -> EventAnswer:
    """Store the events that are new. Raises Conflict for a stale attempt, Refused for a gap in the numbers.

    A batch that was stored before, whose answer was lost, is answered as it was the first time.
    """
    last = batch.first + len(batch.events) - 1
    if batch.events and last <= attempt.stored_events:
        return EventAnswer(stored=attempt.stored_events, stop=run.cancel_requested)
    heartbeat(session, run, attempt, lease, now)
    if batch.first > attempt.stored_events + 1:
        raise Refused(
            f"events {attempt.stored_events + 1} to {batch.first - 1} of run {run.id} are missing: send them first"
        )
    first = attempt.stored_events + 1
    new, text = _kept(batch.events[first - batch.first :])
    if new:
        columns = ["attempt_id", "number", "type", "body", "received_at"]
        rows = event_queries.batch(session, attempt.id, first, text, now)
        session.execute(insert(RunEvent).from_select(columns, rows))
    for number, event in enumerate(new, start=first):
        if attempt.outcome:
            raise Refused(f"event {number} of run {run.id} comes after its last one")
        if not isinstance(event, Progress):
            attempt.stored_events = number
            _apply(session, run, attempt, event, event.model_dump(mode="json"), now)
    if new:
        attempt.stored_events = last
    if told := next((event for event in reversed(new) if isinstance(event, Progress)), None):
        run.progress = told.model_dump(mode="json")
    if attempt.outcome or attempt.stored_events - attempt.drawn_events >= curve_service.PIECE:
        session.flush()
        curve_service.draw(session, attempt)
    session.flush()
    return EventAnswer(stored=attempt.stored_events, stop=run.cancel_requested and not attempt.outcome)


def _kept(events: Sequence[Event]) -> tuple[list[Event], str]:
    """The events as they are kept, and as JSON. Postgres keeps a NUL in no text: what a library printed must not keep a
    run from ending."""
    text = in_json(events)
    if _NUL not in text:  # as good as always; a text that speaks of it is looked at, too
        return list(events), text
    clean = [EVENT.validate_python(_without_nul(event.model_dump(mode="json"))) for event in events]
    return clean, in_json(clean)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {name: _without_nul(item) for name, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _apply(session: Session, run: Run, attempt: Attempt, event: Event, body: dict[str, Any], now: datetime) -> None:
    match event:
        case Started() | DataRead() | Measured() | Resumed() | Checkpointed() | Verified() | Evaluated():
            run.summary = {**({} if isinstance(event, Started) else run.summary or {}), event.type: body}
        case Audited():
            run.summary = {**(run.summary or {}), event.type: body}
            session.flush()
            audits.settle(session, run)
        case Artifact():
            _require_uploaded(session, attempt, event)
        case Scored():
            before = run.summary or {}
            run.summary = {**before, "scored": {**before.get("scored", {}), event.split: body}}
            if not graph.is_part(run):  # a fold's scores are the blend's to sum up
                for experiment_id in queries.experiment_ids_of(session, run.id):
                    experiments.record_run_scores(session, experiment_id, run.id, event)
        case Finished():
            session.flush()
            _finish(session, run, attempt, now)
        case Failed():
            session.flush()
            lifecycle.fail(session, run, attempt, now, event.reason, event.detail)
        case Crashed():
            session.flush()
            lifecycle.return_to_queue(session, run, attempt, "lost", now, event.reason, event.detail)
        case Returned():
            session.flush()
            lifecycle.return_to_queue(session, run, attempt, "returned", now, event.reason)
        case Cancelled():
            session.flush()
            lifecycle.cancelled(session, run, attempt, now)
        case _:  # a log line has no effect beyond being kept
            pass


def _finish(session: Session, run: Run, attempt: Attempt, now: datetime) -> None:
    """A pretrain that was cancelled may come to its end all the same, before its worker hears of it; meanwhile another
    experiment may have asked for the same. It is paid for: who waits for the other reads this one, and the other stops.
    Had the other finished already, this one stays cancelled."""
    if run.kind == "pretrain":
        if run.cancel_requested and queries.twins_of(session, run, "finished"):
            lifecycle.cancelled(session, run, attempt, now)
            return
        for twin in queries.twins_of(session, run, "queued", "running"):
            if queries.run(session, twin.id, lock=True).status not in {"queued", "running"}:
                continue  # it ended while we waited for it
            for experiment_id in queries.experiment_ids_of(session, twin.id):
                graph.share_instead(session, experiment_queries.experiment(session, experiment_id), twin, run)
            lifecycle.request_cancel(session, twin, now)
    if run.kind == "blend":
        audits.settle(session, run)
    lifecycle.finish(session, run, attempt, now)


def _require_uploaded(session: Session, attempt: Attempt, event: Artifact) -> None:
    artifact = queries.attempt_artifact(session, attempt.id, event.name)
    if artifact is None or artifact.sha256 != event.sha256:
        raise Refused(
            f"artifact {event.name} ({event.sha256[:12]}…) was not uploaded yet: send the file before its event"
        )
