"""Online scores: append-only, posted once however often they are sent."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import clock
from app.errors import Conflict, FieldError, Refused
from app.experiments import queries
from app.experiments import service as experiments
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from ml.contract.scores import METRICS


@dataclass(frozen=True)
class OnlineScore:
    """What the contest said. `text` keeps the number as it was typed."""

    value: float
    note: str = ""
    text: str = ""
    uncertain: bool = False
    source: str = "rest"
    made_by: str = ""


def number(text: str) -> float:
    """The number that a person typed. Raises Refused for anything else."""
    try:
        return float(text.strip())
    except ValueError as error:
        message = _("%(text)s is not a number: type it as 0.8778", text=repr(text.strip()[:50]))
        raise Refused(message, [FieldError("value", message, text[:50])]) from error


def post_online_score(
    session: Session, experiment: Experiment, score: OnlineScore, *, key: str | None = None
) -> tuple[Score, bool]:
    """Append an online score; returns it and whether it is new.

    The same idempotency key with the same score answers what was stored the first time; with another score it is a
    Conflict. Raises Refused for NaN, infinity and values outside the range of the contest's metric.
    """
    metric = contest_queries.contest_by_id(session, experiment.contest_id).metric
    try:
        METRICS[metric].check(score.value)
    except ValueError as error:
        raise Refused(str(error), [FieldError("value", str(error), repr(score.value))]) from error
    if key is not None and not 1 <= len(key) <= 200:
        raise Refused(_("the Idempotency-Key has %(count)s characters: 1 to 200, a UUID for example", count=len(key)))
    session.refresh(experiment, with_for_update=True)  # the same key twice at once: the second waits for the first
    if key and (earlier := queries.score_by_key(session, experiment.id, key)):
        if (earlier.value, earlier.note) != (score.value, score.note):
            raise Conflict(
                _(
                    "Idempotency-Key %(key)s was used for %(value)g %(note)s before: send a new key for a new score",
                    key=repr(key),
                    value=earlier.value,
                    note=repr(earlier.note),
                )
            )
        return earlier, False
    row = Score(
        experiment_id=experiment.id,
        split="online",
        metric=metric,
        value=score.value,
        text=score.text,
        uncertain=score.uncertain,
        note=score.note,
        source=score.source,
        made_by=score.made_by,
        idempotency_key=key,
        created_at=clock(session),
    )
    experiments.add_score(session, row)
    session.flush()
    return row, True
