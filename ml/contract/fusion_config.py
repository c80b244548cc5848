"""An experiment made of other experiments."""

from typing import Literal

from pydantic import field_validator

from ml.contract.knob import knob
from ml.contract.strict import Strict
from ml.contract.words import text


class FusionConfig(Strict):
    """Predictions of other experiments of the contest, blended; nothing is trained but the weights of the blend."""

    members: tuple[int, ...] = knob(
        (),
        "Experiments",
        "融合的实验",
        "Numbers of the experiments, divided by commas: of the same files and the same split.",
        max_length=50,
    )
    method: Literal["mean", "rank_mean", "logit_mean", "weights"] = knob(
        "rank_mean",
        "Method",
        "融合方法",
        "mean of the probabilities; of their ranks; of their logits; or weights of the logits, found by logistic "
        "regression on the valid predictions, cross-fitted by component so that the fusion's valid score is honest.",
    )

    @field_validator("members")
    @classmethod
    def _different(cls, members: tuple[int, ...]) -> tuple[int, ...]:
        if len(members) < 2:
            raise ValueError(text("%(count)s experiments cannot be blended: name 2 to 50", count=len(members)))
        if len(set(members)) < len(members) or min(members) < 1:
            raise ValueError(text("each experiment stands once, by its number (1 or more)"))
        return members
