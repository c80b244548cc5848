"""A row that leaks is marked, and is never the best of a column that the leak flatters."""

from datetime import UTC, datetime

from app.contests.models import Contest
from app.leaderboard.exporting import lines
from app.leaderboard.row_queries import Row, ShownScore


def row(number: int, value: float, **marks: str) -> Row:
    score = ShownScore(value, "", False, "", 1, value - 0.02, value + 0.02, 5, value - 0.01, 0.004)
    made = datetime(2026, 1, 1, tzinfo=UTC)
    return Row(number, f"row {number}", "", "pairboard", made, "finished", None, "", False, score, score, score, marks)


def test_a_leak_is_never_the_best() -> None:
    shown = lines(Contest(metric="roc_auc"), [row(1, 0.7), row(2, 0.9, leaking="split by row"), row(3, 0.8)])
    assert [line.best_valid for line in shown] == [False, False, True]
    assert [line.best_train for line in shown] == [False, False, True]
    assert [line.best_online for line in shown] == [False, True, False]  # a contest's answer is the contest's


def test_intervals_and_folds_as_text() -> None:
    (line,) = lines(Contest(metric="roc_auc"), [row(1, 0.7)])
    assert line.valid is not None
    assert (line.valid.interval, line.valid.parts) == ("0.6800 to 0.7200", "5: 0.6900 ± 0.0040")
