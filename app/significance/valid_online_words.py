"""A study of valid and online in sentences, and each row's reading. Called by the page and REST."""

import numpy as np

from app.language import gettext as _
from app.language import ngettext
from app.significance.rank_agreement import Agreement, agreement
from app.significance.robust_line import LEAST, expected
from app.significance.valid_online import LEVEL, Placed, Regime, Scored, Study


def score(value: float) -> str:
    """A score in a sentence: as many decimals as it needs, four at least and six at most."""
    text = f"{value:.6f}".rstrip("0")
    return text + "0" * max(0, 6 - len(text)) if value < 10 else f"{value:.4f}"


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals."""
    return f"{value:.{decimals}f}"


def rise(value: float) -> str:
    """By how much a score moved, with its sign."""
    return f"{value:+.4f}"


def p_value(p: float) -> str:
    """`p = 0.017`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def findings(found: Study) -> list[str]:
    """What the page says by itself: where valid stopped to rank online first, then each regime."""
    if not found.both:
        return [_("No row has a valid and an online score yet: post an online score, and this page begins.")]
    said = []
    for regime in found.regimes:
        if regime.change is not None and regime.before is not None:
            said += _turn(found, found.regimes[regime.before], regime)
    said += [text for place, regime in enumerate(found.regimes) if (text := _alone(found, place, regime))]
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


def ranks(found: Agreement) -> str:
    """An agreement in brackets: Kendall with its pairs, and whether chance does it."""
    return _(
        "Kendall %(tau)s, %(same)s of %(pairs)s pairs of rows in the same order, %(p)s",
        tau=fixed(found.kendall, 2),
        same=found.same,
        pairs=found.same + found.turned + found.tied,
        p=p_value(found.p),
    )


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


def verdict(regime: Regime) -> str:
    """Whether valid ranks online within a regime, in one clause."""
    count, found = len(regime.sent), regime.agreement
    if found is None:
        if count < 3:
            return ngettext(
                "%(num)d row with both scores, too few to say whether valid ranks online",
                "%(num)d rows with both scores, too few to say whether valid ranks online",
                count,
            )
        return _("all rows have the same valid or the same online score, so nothing can be ranked")
    if found.ranks:
        return _("valid ranked online (%(ranks)s)", ranks=ranks(found))
    if not found.can_tell:
        return _(
            "%(count)s rows are too few to say whether valid ranks online (%(ranks)s)", count=count, ranks=ranks(found)
        )
    if found.kendall < 0 and found.p < LEVEL:
        return _("valid ranked online the wrong way round (%(ranks)s)", ranks=ranks(found))
    return _("valid ranked online no better than chance (%(ranks)s)", ranks=ranks(found))


def _alone(found: Study, place: int, regime: Regime) -> str:
    """A regime that no change begins or ends."""
    if regime.change is not None or any(other.before == place for other in found.regimes):
        return ""
    if not regime.sent:
        return ""
    return _("%(split)s: %(verdict)s.", split=split_name(regime), verdict=verdict(regime))


def split_name(regime: Regime) -> str:
    """Which rows a regime's rows held out."""
    row = regime.first
    if row.external:
        return _("Trained elsewhere, their split isn't known here")
    held = ", ".join(f"{name.removeprefix('data.')} {text}" for name, text in row.split)
    return _("Train file %(file)s, %(held)s", file=row.train_file_id, held=held)


def reading(found: Study, item: Placed) -> str:
    """What a row's residual says."""
    said = [_residual(found, item)]
    if item.off and item.row.transductive and found.better * (item.residual or 0.0) > 0:
        said.append(_("it saw the test's texts (transductive)"))
    if item.off and item.row.uncertain:
        said.append(_("its scores were typed with a question mark"))
    if item.beside_before is not None:
        said.append(_("%(rest)s beside the line of the rows before", rest=rise(item.beside_before)))
    return "; ".join(said)


def _residual(found: Study, item: Placed) -> str:
    if item.p is None or item.residual is None:
        return _("%(count)s rows of its kind are needed for a line", count=LEAST)
    if not item.off:
        return _("as expected: within noise")
    if found.better * item.residual > 0:
        return _("better online than its valid promised: a leak of the test's answers, or luck")
    return _("worse online than its valid promised: overfitted to valid, or drift between valid and test")
