"""Curves as arrays: points out of events, and fewer points that still show every peak. No rows, no SQL.

A curve is a pair of float64 arrays: training steps, and the values at them. Called by curve_service.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.language import N_

Array = NDArray[np.float64]

#: name of a curve -> (title, unit). `epoch` and `time` (seconds since 1970) serve as other x axes.
SERIES = {
    "loss": (N_("loss"), ""),
    "learning_rate": (N_("learning rate"), ""),
    "samples_per_second": (N_("samples/s"), ""),
    "tokens_per_second": (N_("tokens/s"), ""),
    "peak_memory_bytes": (N_("peak memory"), "bytes"),
    "valid_roc_auc": (N_("valid AUC"), ""),
    "valid_accuracy": (N_("valid accuracy"), ""),
    "valid_f1": (N_("valid F1"), ""),
    "valid_log_loss": (N_("valid log loss"), ""),
    "gpu_percent": (N_("GPU busy"), "%"),
    "gpu_memory_bytes": (N_("GPU memory"), "bytes"),
    "cpu_percent": (N_("processor busy"), "%"),
    "memory_used_bytes": (N_("machine's memory"), "bytes"),
}
_OF_PROGRESS = ("loss", "learning_rate", "samples_per_second", "tokens_per_second", "peak_memory_bytes", "epoch")
#: events that have points
TYPES = ("progress", "evaluated", "measured")
#: points of a bucket of which the coarse copy keeps the lowest and the highest
BUCKET = 32


@dataclass(frozen=True)
class Points:
    """Steps that never fall, and the values at them: two arrays of one length."""

    steps: Array
    values: Array

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, low: float, high: float) -> "Points":
        """Those of low <= step < high, and one more at each side: a line leaves the window, it does not end there."""
        first, last = np.searchsorted(self.steps, (low, high))
        kept = slice(max(0, int(first) - 1), int(last) + 1)
        return Points(self.steps[kept], self.values[kept])

    def before(self, step: float) -> "Points":
        """Those of smaller steps."""
        end = int(np.searchsorted(self.steps, step))
        return Points(self.steps[:end], self.values[:end])


def joined(parts: Iterable[Points]) -> Points:
    """One after the other."""
    kept = [part for part in parts if len(part)]
    if not kept:
        return Points(np.empty(0), np.empty(0))
    return Points(np.concatenate([part.steps for part in kept]), np.concatenate([part.values for part in kept]))


@dataclass
class Reader:
    """Takes events in order and gathers the points of every curve. `step`, `epoch`: of the last progress before."""

    step: float = 0
    epoch: float = 0
    progress: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    seldom: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    def take(self, type: str, body: dict[str, Any], time: float) -> None:
        """The points of one event, received at `time` (seconds since 1970)."""
        if type == "progress":
            self.step, self.epoch = body["step"], body["epoch"]
            self.progress.append(body)
            self.times.append(time)
        elif type == "evaluated":  # tells the epoch only: the step lies in proportion
            share = body["epoch"] * self.step / self.epoch if self.epoch else math.inf
            step = round(share) if math.isfinite(share) else self.step
            for name, value in body["scores"].items():
                self._add(f"valid_{name}", step, value)
        elif type == "measured":
            hardware = body["hardware"]
            cards = hardware.get("cards") or []
            busy = [card["utilization"] for card in cards if card.get("utilization") is not None]
            used = [card["memory_used_bytes"] for card in cards if card.get("memory_used_bytes") is not None]
            self._add("gpu_percent", self.step, sum(busy) / len(busy) if busy else None)
            self._add("gpu_memory_bytes", self.step, sum(used) if used else None)
            self._add("cpu_percent", self.step, hardware.get("cpu_percent"))
            self._add("memory_used_bytes", self.step, hardware.get("memory_used_bytes"))

    def _add(self, name: str, step: float, value: float | None) -> None:
        if value is not None:
            steps, values = self.seldom.setdefault(name, ([], []))
            steps.append(step)
            values.append(value)

    def points(self) -> dict[str, Points]:
        """What was gathered, by the name of the curve."""
        found = {name: Points(np.array(x, float), np.array(y, float)) for name, (x, y) in self.seldom.items()}
        if not self.progress:
            return found
        steps = np.array([body["step"] for body in self.progress], float)
        for name in _OF_PROGRESS:
            values = np.array([body.get(name) for body in self.progress], float)  # None, of older versions, is nan
            told = ~np.isnan(values)
            if told.any():
                found[name] = Points(steps[told], values[told])
        return found | {"time": Points(steps, np.array(self.times))}


def reduced(points: Points, most: int) -> Points:
    """At most about `most` points: of each bucket of consecutive ones the lowest and the highest, and both ends.

    No peak is lost, whatever `most` is (min/max decimation, as in Jugel et al. 2014, M4)."""
    size = -(-2 * len(points) // max(2, most))
    return points if size <= 2 else _extremes(points, size)


def coarse(points: Points) -> Points:
    """The copy that a view of many points is made of."""
    return _extremes(points, BUCKET)


def _extremes(points: Points, size: int) -> Points:
    count = len(points)
    if count <= size:
        full = points.values[None, :]
        starts = np.zeros(1, int)
        kept = [full.argmin(1) + starts, full.argmax(1) + starts]
    else:
        whole = count // size * size
        full = points.values[:whole].reshape(-1, size)
        starts = np.arange(0, whole, size)
        kept = [full.argmin(1) + starts, full.argmax(1) + starts]
        if whole < count:
            rest = points.values[whole:]
            kept.append(np.array([whole + rest.argmin(), whole + rest.argmax()]))
    chosen = np.unique(np.concatenate([*kept, [0, count - 1]]))
    return Points(points.steps[chosen], points.values[chosen])


def packed(points: Points) -> bytes:
    """As bytes of a row: little-endian float64, steps then values."""
    return np.concatenate([points.steps, points.values]).astype("<f8").tobytes()


def unpacked(blobs: Iterable[bytes]) -> Points:
    """Of rows in order."""
    return joined(Points(*np.frombuffer(blob, "<f8").reshape(2, -1)) for blob in blobs)
