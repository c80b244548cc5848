"""What valid_online.js draws of a study: points, lines with their bands, and rows that were not sent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.significance.robust_line import Line, expected_all
from app.significance.valid_online import Placed, Regime, Study

_POINTS = 41


def chart_data(found: Study, unsent: Sequence[Placed]) -> dict[str, Any]:
    """By regime its number, points and line; and the expected place of these rows that were not sent."""
    place_of = {item.row.id: place for place, regime in enumerate(found.regimes) for item in regime.unsent}
    return {
        "groups": [_group(place, regime) for place, regime in enumerate(found.regimes) if regime.sent],
        "unsent": [
            {
                "id": item.row.id,
                "name": item.row.name,
                "group": place_of[item.row.id] + 1,
                "valid": item.row.valid,
                "value": item.expected.value,
                "low": item.expected.low,
                "high": item.expected.high,
            }
            for item in unsent
            if item.expected is not None
        ],
    }


def _group(place: int, regime: Regime) -> dict[str, Any]:
    points = [
        {"id": item.row.id, "name": item.row.name, "valid": item.row.valid, "online": item.row.online}
        for item in regime.sent
    ]
    return {"group": place + 1, "points": points, "line": _band(regime.line) if regime.line is not None else None}


def _band(line: Line) -> dict[str, list[float]]:
    """The line with the interval of a new row, over the span of its rows and a little beyond."""
    low, high = float(line.x_N.min()), float(line.x_N.max())
    margin = (high - low) * 0.05 or 0.001
    x_M = np.linspace(low - margin, high + margin, _POINTS)
    ends = expected_all(line, x_M)
    return {
        "x": x_M.tolist(),
        "y": [end.value for end in ends],
        "low": [end.low for end in ends],
        "high": [end.high for end in ends],
    }
