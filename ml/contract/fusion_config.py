"""An experiment made of other experiments."""

from typing import Literal, get_args

from pydantic import field_validator

from ml.contract.knob import knob, when
from ml.contract.strict import Strict
from ml.contract.words import text

Method = Literal["mean", "rank_mean", "logit_mean", "weights", "greedy", "constrained"]
METHODS: tuple[Method, ...] = get_args(Method)
MOST_MEMBERS = 50


class FusionConfig(Strict):
    """Predictions of other experiments of the contest, blended; nothing is trained but the weights of the blend."""

    members: tuple[int, ...] = knob(
        (),
        "Experiments",
        "融合的实验",
        "Numbers of the experiments, divided by commas: of the same files and the same split.",
        max_length=MOST_MEMBERS,
        validate_default=True,
    )
    method: Method = knob(
        "rank_mean",
        "Method",
        "融合方法",
        "mean of the probabilities; rank_mean of their ranks; logit_mean of their logits. The others find weights on "
        "the valid predictions, cross-fitted by component so that the fusion's valid score is honest: weights of the "
        "logits by logistic regression; greedy picks the member that lifts the AUC of the mean rank most, again and "
        "again (Caruana et al. 2004); constrained: weights of the probabilities, none below 0, 1 together, of the "
        "smallest log loss.",
    )
    bags: int = knob(
        0,
        "Bags of greedy",
        "贪心选择的袋数",
        "Greedy picks from a random half of the members as often as this, and the shares are averaged, which makes "
        "them less a matter of luck where members are many; 0: once, from all.",
        applies=when("method", "greedy"),
        ge=0,
        le=100,
    )

    @field_validator("members")
    @classmethod
    def _different(cls, members: tuple[int, ...]) -> tuple[int, ...]:
        if len(members) < 2:
            raise ValueError(text("%(count)s experiments cannot be blended: name 2 to 50", count=len(members)))
        if len(set(members)) < len(members) or min(members) < 1:
            raise ValueError(text("each experiment stands once, by its number (1 or more)"))
        return members
