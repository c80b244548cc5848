"""What a blend of rows of the table would gain by each method, in words.

Called by blend_pages and blend_api. The numbers are those of blend_numbers, from the stored predictions of the rows
that each member held out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.components import components_of
from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments.models import Experiment
from app.language import N_, ngettext
from app.language import gettext as _
from app.significance.blend_numbers import Asked, Gap, Matrix, Numbers, numbers
from app.significance.fitting import fitting
from app.storage import Storage
from ml.contract.fusion_config import Method

NAMES: dict[Method, str] = {
    "mean": N_("mean of probabilities"),
    "rank_mean": N_("mean of ranks"),
    "logit_mean": N_("mean of logits"),
    "weights": N_("weights by regression"),
    "greedy": N_("greedy selection"),
    "constrained": N_("shares of the smallest log loss"),
}


@dataclass(frozen=True)
class BlendMember:
    """`adds`: what the mean of ranks loses without it. `weights`: by method that finds any."""

    id: int
    name: str
    marks: dict[str, str]
    auc: tuple[float, float, float]
    adds: Gap
    weights: dict[str, float]


@dataclass(frozen=True)
class BlendMethod:
    """`auc`: with its interval, cross-fitted where weights are found; `gain`: over the best member; both None when
    `why` says why it can't be found. `words`: the gain in a sentence."""

    method: Method
    name: str
    auc: tuple[float, float, float] | None
    gain: Gap | None
    why: str
    words: str


@dataclass(frozen=True)
class Blend:
    """`best`: id of the best member. `words`: all methods in a sentence. `errors`, `ranks`: correlations by pair, in
    the order of the members. The optimisms: see blend_numbers.Numbers."""

    pairs: int
    components: int
    best: int
    words: str
    members: list[BlendMember]
    methods: list[BlendMethod]
    errors: Matrix
    ranks: Matrix
    optimism_of_member: float
    optimism_of_method: float


def blend(session: Session, storage: Storage, contest: Contest, ids: Sequence[int]) -> Blend:
    """What a blend of these would gain. Raises Refused as `fitting` does, and when their rows can tell nothing."""
    found = fitting(session, storage, contest, ids)
    first = found.experiments[0]
    file = contest_queries.file_by_id(session, first.train_file_id or 0)
    rows_N, labels_N = found.predictions[0].rows_N, found.predictions[0].labels_N
    key = (file.sha256, json.dumps(file.layout, sort_keys=True), *(item.sha256 for item in found.predictions))
    members_MN = np.stack([item.probabilities_N for item in found.predictions])
    try:
        judged = numbers(Asked(key, labels_N, members_MN, components_of(storage, file)[rows_N]))
    except ValueError as error:
        message = _("a blend of these can't be judged on their %(rows)s rows: %(why)s", rows=len(rows_N), why=error)
        raise Refused(message, [FieldError("ids", message)]) from error
    return _told(found.experiments, judged)


def _told(experiments: list[Experiment], found: Numbers) -> Blend:
    best = experiments[found.best].id
    weights = {item.method: item.weights for item in found.methods if item.weights is not None}
    return Blend(
        pairs=found.pairs,
        components=found.components,
        best=best,
        words=_summary(found, best),
        members=[
            BlendMember(
                experiment.id,
                experiment.name,
                dict(experiment.marks),
                found.auc[place],
                found.adds[place],
                {method: each[place] for method, each in weights.items()},
            )
            for place, experiment in enumerate(experiments)
        ],
        methods=[
            BlendMethod(
                item.method,
                _(NAMES[item.method]),
                item.auc,
                item.gain,
                _(item.why),
                _in_words(item.method, item.gain, best) if item.gain else _(item.why),
            )
            for item in found.methods
        ],
        errors=found.errors,
        ranks=found.ranks,
        optimism_of_member=found.optimism_of_member,
        optimism_of_method=found.optimism_of_method,
    )


def _in_words(method: Method, gain: Gap, best: int) -> str:
    ends = sorted((abs(gain.low), abs(gain.high)))
    told = {"method": _(NAMES[method]), "best": best, "gain": f"{abs(gain.value):.4f}"}
    span = {"low": f"{ends[0]:.4f}", "high": f"{ends[1]:.4f}"}
    if gain.low > 0:
        return _("%(method)s gains %(gain)s (%(low)s to %(high)s) over #%(best)s", **told, **span)
    if gain.high < 0:
        return _("%(method)s loses %(gain)s (%(low)s to %(high)s) to #%(best)s", **told, **span)
    told |= {"gain": f"{gain.value:+.4f}", "low": f"{gain.low:+.4f}", "high": f"{gain.high:+.4f}"}
    return _("%(method)s adds nothing that can be told from noise to #%(best)s: %(gain)s (%(low)s to %(high)s)", **told)


def _summary(found: Numbers, best: int) -> str:
    """Methods that gain, the best first; those that lose; those that add nothing, together."""
    judged = sorted(((item.method, item.gain) for item in found.methods if item.gain), key=lambda item: -item[1].value)
    clear = [_in_words(method, gain, best) for method, gain in judged if gain.low > 0 or gain.high < 0]
    rest = [_(NAMES[method]) for method, gain in judged if gain.low <= 0 <= gain.high]
    if rest:
        told = {"methods": _(", ").join(rest)}
        clear.append(
            ngettext(
                "%(methods)s adds nothing that can be told from noise",
                "%(methods)s add nothing that can be told from noise",
                len(rest),
                **told,
            )
        )
    return _("; ").join(clear)
