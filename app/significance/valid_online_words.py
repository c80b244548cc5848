"""Numbers, regimes and a row's residual in words. Called by the valid-to-online page and REST, and by findings.py."""

from app.language import gettext as _
from app.language import ngettext
from app.significance.rank_agreement import Agreement
from app.significance.robust_line import LEAST
from app.significance.valid_online import LEVEL, Placed, Regime, Study


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


def ranks(found: Agreement) -> str:
    """An agreement in brackets: Kendall with its pairs, and whether chance does it."""
    return _(
        "Kendall %(tau)s, %(same)s of %(pairs)s pairs of rows in the same order, %(p)s",
        tau=fixed(found.kendall, 2),
        same=found.same,
        pairs=found.same + found.turned + found.tied,
        p=p_value(found.p),
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
