"""The metrics that a score may be of: name (scikit-learn's), title, range, direction."""

import math
from dataclasses import dataclass
from typing import Literal

from ml.contract.strict import Strict

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
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number that can be ranked: send a finite {self.title} from {self.span}")
        if not self.low <= value <= self.high:
            hint = f"; did you mean {value / 100:g}?" if self.high == 1 and 1 < value <= 100 else ""
            raise ValueError(f"{value:g} is outside the range of {self.title} ({self.span}){hint}")
        return value

    @property
    def span(self) -> str:
        """The range in words, for messages."""
        return f"{self.low:g} to {self.high:g}" if math.isfinite(self.high) else f"{self.low:g} or more"


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

    roc_auc: float
    accuracy: float
    f1: float
    log_loss: float
