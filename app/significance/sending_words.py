"""Why a row should be sent to the contest today, or not, in sentences. Called by the page and REST."""

from app.language import gettext as _
from app.language import ngettext
from app.significance.robust_line import LEAST
from app.significance.sending import Candidate
from app.significance.valid_online import Study
from app.significance.valid_online_words import fixed, score

#: predictions that rank the test pairs so alike get nearly the same score
ALIKE = 0.995
#: a chance of coming first that is hardly one
HARDLY = 0.05


def reason(found: Study, item: Candidate) -> list[str]:
    """Why a row should be sent, or not."""
    said = [] if item.twin is not None and item.twin.same else [_gain(found, item), _basis(found, item)]
    said += _twin(item)
    if item.lacking:
        said.append(_("It was trained elsewhere: its predictions are not here."))
    return said


def _twin(item: Candidate) -> list[str]:
    """How new its predictions are beside those that were sent."""
    if item.twin is None or item.of is None:
        return []
    name, got, likeness = item.of.name, score(item.of.online or 0.0), fixed(item.twin.likeness, 4)
    if item.twin.same:
        return [
            _(
                "Its predictions are those of “%(name)s” to the byte: the board would say %(score)s again.",
                name=name,
                score=got,
            )
        ]
    if item.twin.likeness >= ALIKE:
        return [
            _(
                "It ranks the test pairs nearly as “%(name)s” did (Spearman %(likeness)s), which got %(score)s.",
                name=name,
                likeness=likeness,
                score=got,
            )
        ]
    return [
        _("The nearest file that was sent is that of “%(name)s” (Spearman %(likeness)s).", name=name, likeness=likeness)
    ]


def _gain(found: Study, item: Candidate) -> str:
    if item.gain is None or item.chance is None or item.placed.expected is None or found.best is None:
        return _("What it will get can't be said: %(count)s online scores are needed for that.", count=LEAST)
    end = item.placed.expected
    values = {
        "value": f"{end.value:.4f}",
        "low": f"{end.low:.4f}",
        "high": f"{end.high:.4f}",
        "gain": f"{item.gain:.5f}",
        "chance": f"{100 * item.chance:.0f}",
        "best": score(found.best.online or 0.0),
    }
    if item.chance < HARDLY:
        return _(
            "Expected online %(value)s (95%% %(low)s to %(high)s): it hardly beats the best so far, %(best)s "
            "(chance %(chance)s%%, expected gain %(gain)s).",
            **values,
        )
    return _(
        "Expected online %(value)s (95%% %(low)s to %(high)s): it beats the best so far, %(best)s, with a chance of "
        "%(chance)s%%; expected gain %(gain)s.",
        **values,
    )


def _basis(found: Study, item: Candidate) -> str:
    """From what it is expected, and what sending it teaches."""
    if item.placed.by_line:
        text = ngettext(
            "That is from the line of %(num)d row of its kind that was sent.",
            "That is from the line of %(num)d rows of its kind that were sent.",
            item.sent_of_split,
        )
        if item.row.leaking or (item.regime.change is not None and found.better * item.regime.change.step < 0):
            text += " " + _("Its valid flatters (the look of a leak), which that line allows for.")
        return text
    said = []
    if item.placed.expected is not None:
        said.append(_("That is from all online scores, whatever their valid."))
    if item.row.leaking:
        said.append(_("It is marked as leaking: its valid flatters and was left out of account."))
    said.append(
        _(
            "Of its split %(sent)s of the %(needed)s rows that a line needs were sent: its score would teach what "
            "valid is worth there.",
            sent=item.sent_of_split,
            needed=LEAST,
        )
    )
    return " ".join(said)
