"""What attempts report: bodies that are no events, and batches that are stored once however often they come."""

import json
from dataclasses import asdict
from functools import cache
from random import Random
from typing import Any, get_args

from fastapi.encoders import jsonable_encoder
from pydantic import ValidationError
from pydantic_core import from_json
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from app.accounts.service import digest
from app.db import clock, in_json
from app.errors import Conflict, FieldError, Refused
from app.pydantic_words import said
from app.runs import curve_service, intake, log_service, queries
from app.runs.curve_service import X_AXES
from app.runs.curves import SERIES
from app.runs.models import Attempt, Run, RunEvent
from ml.contract.events import EVENT, Event, EventBatch, Failed, Finished
from tests.app.runs.test_lifecycle import LEASE
from tests.security.fuzz_mutation import as_json, changed, extreme, mutated
from tests.security.fuzz_seeds import corpus, of_model
from tests.security.fuzz_workshop import Workshop

#: what becomes a refusal when a service raises it: main's handlers
_REFUSALS = (Refused, Conflict, StatementError, OverflowError, UnicodeEncodeError)


def _good(event: Any) -> bool:
    try:
        EVENT.validate_python(event)
    except ValidationError:
        return False
    return True


@cache
def good_events() -> list[dict[str, Any]]:
    """Of each type a few."""
    models = get_args(get_args(Event)[0])
    return [event for model in models for event in corpus(of_model(model), 12, _good)]


@cache
def _curve_events() -> list[dict[str, Any]]:
    return [event for event in good_events() if event["type"] in {"progress", "evaluated", "measured"}]


def draw_batch(draw: Random) -> dict[str, Any]:
    """Of a few events, of which one or another may be changed."""
    some = good_events() if draw.random() < 0.6 else _curve_events()
    events = [draw.choice(some) for _ in range(draw.choice((0, 1, 1, 2, 4)))]
    events = [changed(draw, event) if draw.random() < 0.3 else event for event in events]
    events = [extreme(draw, event) if draw.random() < 0.3 else event for event in events]
    batch = {"first": 1, "events": events, **({"waited_seconds": draw.random()} if draw.random() < 0.3 else {})}
    if draw.random() < 0.1:
        found = changed(draw, batch)
        batch = found if isinstance(found, dict) else {"first": found}
    return batch


def draw_body(draw: Random) -> bytes:
    """The text of one, changed as a tree or as text."""
    body = as_json(draw, draw_batch(draw))
    if draw.random() < 0.5:
        body = mutated(draw, body, [body, b'{"first":1,"events":[{"type":"cancelled"}]}'])
    if draw.random() < 0.01:
        levels = draw.choice((100, 900, 1100))
        body = b'{"first":1,"events":' + b"[" * levels + b"]" * draw.choice((levels, 1)) + b"}"
    return body


def check_body(body: bytes, _workshop: Workshop) -> bool:
    """Taken or refused as main's handlers do; what is taken is kept and read back as it was."""
    try:
        plain = json.loads(body)  # as FastAPI reads it
    except (ValueError, RecursionError):
        return False
    try:
        batch = EventBatch.model_validate(plain)
    except UnicodeEncodeError:
        return False
    except ValidationError as error:
        fields = [FieldError(_dotted(item), said(item), repr(item.get("input"))[:200]) for item in error.errors()]
        assert fields
        json.dumps(jsonable_encoder([asdict(field) for field in fields]), ensure_ascii=True)
        return False
    try:
        stored = in_json(batch)  # as intake writes models of the contract
    except UnicodeEncodeError:  # main has a handler for half a character
        return False
    assert EventBatch.model_validate(from_json(stored)) == batch
    return bool(batch.events)


def _dotted(item: Any) -> str:
    return ".".join(str(part) for part in item["loc"])


def draw_story(draw: Random) -> list[dict[str, Any]]:
    """Two or three batches one after the other, as an attempt sends them; now and then one out of its turn."""
    return [draw_batch(draw) for _ in range(draw.choice((1, 2, 3)))]


def check_story(story: list[dict[str, Any]], workshop: Workshop) -> bool:
    """Each batch is stored once or refused, sent twice it is answered the same; and whatever was taken the run can
    end, and its curves and its log can be read."""
    held, taken = workshop.held, False
    with workshop.session() as session:
        run = queries.run(session, held.run_id)
        attempt = queries.attempt_by_token(session, digest(held.claimed.token))
        assert attempt is not None
        for plain in story:
            first = plain.get("first")
            if type(first) is int and first == 1:
                plain = {**plain, "first": attempt.stored_events + 1}
            try:
                batch = EventBatch.model_validate(plain)
            except (ValidationError, UnicodeEncodeError):
                continue
            taken |= _sent(session, run, attempt, batch)
        if not attempt.outcome:
            end = Finished(seconds=1) if len(story) % 2 else Failed(reason="out of memory")
            last = EventBatch(first=attempt.stored_events + 1, events=(end,))
            intake.store(session, run, attempt, last, LEASE, clock(session))
        assert attempt.outcome
        axis = X_AXES[attempt.stored_events % len(X_AXES)]
        curves = curve_service.curves(session, run, list(SERIES), x=axis, most=10)
        json.dumps([asdict(curve) for curve in curves.values()], allow_nan=False)
        log_service.read(session, run, attempt)
    return taken


def _sent(session: Session, run: Run, attempt: Attempt, batch: EventBatch) -> bool:
    before, count = attempt.stored_events, _count(session, attempt)
    try:
        with session.begin_nested():
            answer = intake.store(session, run, attempt, batch, LEASE, clock(session))
    except _REFUSALS:
        session.refresh(run)
        session.refresh(attempt)
        assert (attempt.stored_events, _count(session, attempt)) == (before, count), "half a batch was stored"
        return False
    assert _count(session, attempt) == attempt.stored_events == answer.stored
    if batch.events:
        assert intake.store(session, run, attempt, batch, LEASE, clock(session)) == answer
        assert _count(session, attempt) == answer.stored, "stored twice"
        bodies = session.scalars(
            select(RunEvent.body).where(RunEvent.attempt_id == attempt.id, RunEvent.number > before)
        ).all()
        told = [event.model_dump(mode="json") for event in batch.events][len(batch.events) - len(bodies) :]
        assert [json.dumps(body) for body in bodies] == [
            json.dumps(body).replace("\\u0000", "\\ufffd") for body in told
        ]
    return bool(batch.events)


def _count(session: Session, attempt: Attempt) -> int:
    return session.scalar(select(func.count()).where(RunEvent.attempt_id == attempt.id)) or 0
