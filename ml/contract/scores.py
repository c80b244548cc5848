"""The metrics that a score may be of: name (scikit-learn's), title, range, direction."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ml.contract.strict import Strict
from ml.contract.words import text

MetricName = Literal["roc_auc", "accuracy", "f1", "log_loss"]
SplitName = Literal["train", "valid", "online"]


@dataclass(frozen=True)
class Metric:
    """A metric's name, titles, closed range and which way is better."""

    name: MetricName
    title: str
    title_zh: str
    low: float
    high: float
    higher_is_better: bool

    def check(self, value: float) -> float:
        """Return `value` if it is a number in this metric's range; raise ValueError otherwise."""
        told: dict[str, object] = {"value": value, "metric": text(self.title), "span": self.span}
        if not math.isfinite(value):
            raise ValueError(
                text("%(value)s is not a number that can be ranked: send a finite %(metric)s from %(span)s", **told)
            )
        if not self.low <= value <= self.high:
            outside = text("%(value)g is outside the range of %(metric)s (%(span)s)", **told)
            if self.high == 1 and 1 < value <= 100:
                outside += text("; did you mean %(hundredth)g?", hundredth=value / 100)
            raise ValueError(outside)
        return value

    @property
    def span(self) -> str:
        """The range in words, for messages."""
        if math.isfinite(self.high):
            return text("%(low)g to %(high)g", low=self.low, high=self.high)
        return text("%(low)g or more", low=self.low)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", "AUC", "AUC", 0.0, 1.0, True),
        Metric("accuracy", "Accuracy", "准确率", 0.0, 1.0, True),
        Metric("f1", "F1", "F1", 0.0, 1.0, True),
        Metric("log_loss", "Log loss", "对数损失", 0.0, math.inf, False),
    )
}


class Scores(Strict):
    """What one split scored. Probabilities are of label 1; accuracy and F1 take 0.5 as the threshold."""

    roc_auc: float = Field(ge=0, le=1)
    accuracy: float = Field(ge=0, le=1)
    f1: float = Field(ge=0, le=1)
    log_loss: float = Field(ge=0)
