"""What a study of valid and online found, in sentences. Called by the valid-to-online page and REST."""

import numpy as np

from app.language import gettext as _
from app.significance.rank_agreement import agreement
from app.significance.robust_line import expected
from app.significance.valid_online import Regime, Scored, Study
from app.significance.valid_online_words import fixed, p_value, ranks, rise, score, split_name, verdict


def findings(found: Study) -> list[str]:
    """What the page says by itself: where valid stopped to rank online first, then each regime."""
    if not found.both:
        return [_("No row has a valid and an online score yet: post an online score, and this page begins.")]
    said = []
    for regime in found.regimes:
        if regime.change is not None and regime.before is not None:
            said += _turn(found, found.regimes[regime.before], regime)
    said += [text for place, regime in enumerate(found.regimes) if (text := _alone(found, place, regime))]
    said += [text for place, regime in enumerate(found.regimes, 1) if (text := _marked(found, place, regime))]
    splits = len({(r.first.external, r.first.train_file_id, r.first.split, r.first.leaking) for r in found.regimes})
    if splits > 1:
        said.append(
            _(
                "The rows stand on %(count)s splits: valid scores of different splits can't be compared, "
                "so each has its own line.",
                count=splits,
            )
        )
    return said


def _turn(found: Study, before: Regime, after: Regime) -> list[str]:
    """Valid ranked online up to a row; from the next on it does not, or on another line."""
    last, first = before.sent[-1].row, after.sent[0].row
    said = [_("Up to “%(name)s”: %(verdict)s.", name=last.name, verdict=verdict(before))]
    no_longer = (
        before.agreement is not None and before.agreement.ranks and not (after.agreement and after.agreement.ranks)
    )
    names = {"name": first.name, "ranks": ranks(after.agreement) if after.agreement else _("nothing to rank yet")}
    said.append(
        _("From “%(name)s” on valid no longer ranks online (%(ranks)s).", **names)
        if no_longer
        else _("From “%(name)s” on valid means something else (%(ranks)s).", **names)
    )
    said += _together(before, after)
    said.append(_step(found, before, after, first))
    said.append(_look(found, before, after))
    return said


def _together(before: Regime, after: Regime) -> list[str]:
    """That both look well ranked when they are taken for one is no ranking within either."""
    rows = [item.row for item in (*before.sent, *after.sent)]
    both = agreement(np.array([row.valid for row in rows]), np.array([row.online for row in rows]))
    if both is None or not both.ranks or (after.agreement and after.agreement.ranks):
        return []
    return [
        _(
            "Taken together the rows look ranked (Kendall %(tau)s), but only since the two groups stand apart.",
            tau=fixed(both.kendall, 2),
        )
    ]


def _step(found: Study, before: Regime, after: Regime, first: Scored) -> str:
    """From the best row before to the first after: by how much each of the two scores moved, and what was promised."""
    top = _best_by_valid(found, before)
    text = _(
        "From the best valid before, “%(name)s”, to that row valid went from %(valid)s to %(valid_after)s (%(rise)s), "
        "online from %(online)s to %(online_after)s (%(online_rise)s).",
        name=top.name,
        valid=score(top.valid or 0.0),
        valid_after=score(first.valid or 0.0),
        rise=rise((first.valid or 0.0) - (top.valid or 0.0)),
        online=score(top.online or 0.0),
        online_after=score(first.online or 0.0),
        online_rise=rise((first.online or 0.0) - (top.online or 0.0)),
    )
    if before.line is not None and after.change is not None:
        promised = expected(before.line, first.valid or 0.0)
        text += " " + _(
            "The line of the rows before promised %(promised)s there (95%% interval %(low)s to %(high)s); noise alone "
            "shows such a step with %(p)s.",
            promised=fixed(promised.value, 4),
            low=fixed(promised.low, 4),
            high=fixed(promised.high, 4),
            p=p_value(after.change.p),
        )
    return text


def _best_by_valid(found: Study, regime: Regime) -> Scored:
    return max((item.row for item in regime.sent), key=lambda row: found.better * (row.valid or 0.0))


def _look(found: Study, before: Regime, after: Regime) -> str:
    """What such a step is most often."""
    worse = after.change is not None and found.better * after.change.step < 0
    higher = found.better * ((after.sent[0].row.valid or 0.0) - (_best_by_valid(found, before).valid or 0.0))
    if worse and higher > 0:
        return _(
            "Valid rose and online did not follow: the look of a leak. Valid may share sentences with train, as it "
            "does when the train set is augmented first and valid is split off then."
        )
    if worse:
        return _("Online fell though valid did not rise: another board, other test data, or a drift of the pipeline.")
    return _(
        "Online is better than valid promised: valid became harder (a split that leaks less), the board is another, or "
        "the test's answers leaked."
    )


def _alone(found: Study, place: int, regime: Regime) -> str:
    """A regime that no change begins or ends."""
    if regime.change is not None or any(other.before == place for other in found.regimes):
        return ""
    if not regime.sent:
        return ""
    return _("%(split)s: %(verdict)s.", split=split_name(regime), verdict=verdict(regime))


def _marked(found: Study, number: int, regime: Regime) -> str:
    """Of rows whose split leaks by its settings: how far those that were sent lie off an honest line of the file."""
    if not regime.first.leaking:
        return ""
    file = regime.first.train_file_id
    honest = [
        (place, other.line)
        for place, other in enumerate(found.regimes, 1)
        if other.line is not None and not other.first.leaking and other.first.train_file_id == file
    ]
    if not honest or not regime.sent:
        return _("The rows of group %(number)s are marked as leaking: their valid flatters.", number=number)
    place, line = honest[-1]
    off = [(item.row.online or 0.0) - line.at(item.row.valid or 0.0) for item in regime.sent]
    return _(
        "The rows of group %(number)s are marked as leaking; those that were sent lie %(rest)s beside the line of "
        "group %(other)s, whose split does not leak.",
        number=number,
        rest=rise(float(np.median(off))),
        other=place,
    )
