"""What speaks for a row's numbers: its model reloads to the bit, exchanged sides change little, the data and the code
are those of the others, and other seeds give about the same. Called by the table, the experiment's page and REST."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.language import gettext as _
from app.leaderboard import check_queries as queries
from app.leaderboard.check_queries import NEWEST, RELOADS_OTHERWISE, version_of

State = Literal["good", "differs", "told"]


@dataclass(frozen=True)
class Check:
    """`key`: reloaded, swap, data, code or seeds. `state`: it is as it should be, it is not, or it is a number to be
    judged. `text` is short, `why` a sentence."""

    key: str
    state: State
    text: str
    why: str


def checks(
    session: Session, contest: Contest, ids: Sequence[int], against: int | None = None
) -> dict[int, list[Check]]:
    """By experiment what is known of it. Data and code are compared with those of the row `against`, or else with what
    most of the newest rows of the contest's table have."""
    runs, files = queries.runs_of(session, ids), queries.train_files(session, ids)
    file, version = queries.compared_with(session, contest, against)
    seeds = queries.alike_but_for_the_seed(session, contest, ids)
    return {
        number: [
            check
            for check in (
                _reloaded(runs[number]),
                _swap(runs[number]),
                _same("data", files.get(number), file, against),
                _same("code", version_of(runs[number]), version, against),
                _seeds(seeds.get(number, [])),
            )
            if check is not None
        ]
        for number in ids
    }


def _finetunes(runs: Iterable[Any]) -> list[Any]:
    return [run for run in runs if run.kind == "finetune"]


def _reloaded(runs: Sequence[Any]) -> Check | None:
    finetunes = _finetunes(runs)
    if any(RELOADS_OTHERWISE in run.reason for run in finetunes):
        return Check("reloaded", "differs", _("reloads otherwise"), _("the saved model predicts otherwise when loaded"))
    verified = [run.summary["verified"] for run in finetunes if "verified" in (run.summary or {})]
    if not finetunes or len(verified) < len(finetunes):
        return None
    rows = sum(body["rows"] for body in verified)
    why = _("a fresh process loaded the saved model and gave its %(rows)s predictions again, to the bit", rows=rows)
    return Check("reloaded", "good", _("reloads"), why)


def _swap(runs: Sequence[Any]) -> Check | None:
    """Over its trainings, each by the rows that were looked at."""
    each = [(run.summary or {}).get("verified", {}).get("swap") for run in _finetunes(runs)]
    found = [body for body in each if body]
    if not found:
        return None
    rows = sum(body["rows"] for body in found)
    difference, auc = (sum(body["rows"] * body[name] for body in found) / rows for name in ("difference", "roc_auc"))
    told = {"difference": f"{difference:.4f}", "auc": f"{auc:.5f}", "rows": rows}
    why = _(
        "sides exchanged, a probability changes by %(difference)s on average and the AUC is %(auc)s (on %(rows)s valid "
        "rows, at most 2,000 of each training)",
        **told,
    )
    return Check("swap", "told", _("swap %(difference)s", **told), why)


def _same(key: Literal["data", "code"], own: str | None, other: str | None, against: int | None) -> Check | None:
    """`own` and `other`: hashes; None where nothing is known."""
    if own is None or other is None:
        return None
    usual = _("most of the table's newest %(count)s rows", count=NEWEST)
    of = _("row %(against)s", against=against) if against is not None else usual
    told = {"own": own[:12], "other": other[:12]}
    if key == "data":
        if own == other:
            return Check(key, "good", _("same data"), _("trained on the train file of %(of)s (%(own)s)", of=of, **told))
        why = _("trained on the train file %(own)s; %(of)s on %(other)s", of=of, **told)
        return Check(key, "differs", _("other data"), why)
    if own == other:
        return Check(key, "good", _("same code"), _("made by the code version of %(of)s (%(own)s)", of=of, **told))
    why = _("made by the code version %(own)s; %(of)s by %(other)s", of=of, **told)
    return Check(key, "differs", _("other code"), why)


def _seeds(valid: Sequence[float]) -> Check | None:
    """Valid scores of rows that differ by their seed alone."""
    if not valid:
        return None
    if len(valid) == 1:
        return Check("seeds", "told", _("1 seed"), _("no other row differs from it by its seed alone"))
    told = {
        "count": len(valid),
        "mean": f"{statistics.fmean(valid):.5f}",
        "deviation": f"{statistics.stdev(valid):.5f}",
    }
    why = _("%(count)s rows that differ by their seed alone: valid %(mean)s ± %(deviation)s", **told)
    return Check("seeds", "told", _("%(count)s seeds ± %(deviation)s", **told), why)
