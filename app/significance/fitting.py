"""Whether rows of the table held out the same rows of one file, so that they can be blended. Called by blending."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import AppError, FieldError, Refused
from app.experiments import queries
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.predictions import Predictions, predictions
from app.storage import Storage
from ml.contract.fusion_config import MOST_MEMBERS

_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Fitting:
    """Experiments that held out the same rows of the same file, with what they predicted."""

    experiments: list[Experiment]
    predictions: list[Predictions]


def fitting(session: Session, storage: Storage, contest: Contest, ids: Sequence[int]) -> Fitting:
    """These experiments in the order of their numbers. Raises NotFound, and Refused that names each row of the table
    that does not fit, why, and as `detail` those that fit together."""
    asked = sorted(set(ids))
    if not 2 <= len(asked) <= MOST_MEMBERS:
        message = _("tick 2 to %(most)s rows to blend them; ticked: %(count)s", most=MOST_MEMBERS, count=len(asked))
        raise Refused(message, [FieldError("ids", message, str(len(asked)))])
    held: list[tuple[Experiment, Predictions]] = []
    wrong: dict[int, str] = {}
    for experiment in queries.chosen(session, contest.id, asked):
        try:
            found = predictions(session, storage, experiment)
        except AppError as error:
            wrong[experiment.id] = error.message
            continue
        if len(found.rows_N):
            held.append((experiment, found))
        else:
            wrong[experiment.id] = _(
                "experiment %(id)s (%(name)s) held out no rows", id=experiment.id, name=experiment.name
            )
    together = _largest(held)
    wrong |= {item[0].id: _why_apart(item, together[0]) for item in held if item not in together}
    if wrong:
        fits = [experiment.id for experiment, _found in together]
        fields = [FieldError("ids", why, str(number)) for number, why in sorted(wrong.items())]
        raise Refused("; ".join(field.message for field in fields), fields, {"fitting": fits})
    return Fitting([item[0] for item in together], [item[1] for item in together])


def _largest(held: list[tuple[Experiment, Predictions]]) -> list[tuple[Experiment, Predictions]]:
    """Of the groups that held out the same rows of the same file the largest; of several the one that was first."""
    groups: dict[tuple[int | None, bytes], list[tuple[Experiment, Predictions]]] = {}
    for item in held:
        groups.setdefault((item[0].train_file_id, item[1].rows_N.tobytes()), []).append(item)
    return max(groups.values(), key=len, default=[])


def _why_apart(one: tuple[Experiment, Predictions], other: tuple[Experiment, Predictions]) -> str:
    (mine, here), (theirs, there) = one, other
    told = {"id": mine.id, "name": mine.name, "other": theirs.id}
    if mine.train_file_id != theirs.train_file_id:
        return _("experiment %(id)s (%(name)s) was trained on another train file than %(other)s", **told)
    return _(
        "experiment %(id)s (%(name)s) held out other rows than %(other)s: %(mine)s of the train file's rows only it "
        "(%(some_mine)s), %(theirs)s only %(other)s (%(some_theirs)s)",
        **told,
        **_only("mine", np.setdiff1d(here.rows_N, there.rows_N)),
        **_only("theirs", np.setdiff1d(there.rows_N, here.rows_N)),
    )


def _only(whose: str, rows: NDArray[Any]) -> dict[str, str]:
    """How many, and the first of them, counted from 1."""
    shown = [str(row + 1) for row in rows[:_SHOWN_ROWS].tolist()] + ["…"] * (len(rows) > _SHOWN_ROWS)
    return {whose: str(len(rows)), f"some_{whose}": ", ".join(shown) or "–"}
