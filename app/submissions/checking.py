"""What is known of an experiment's file before it is sent: checks, likeness to what was sent, the last best beside it.

`gate` is what planning and sending ask; `examine` is the whole, for the page and REST.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import FieldError, Refused
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.storage import Storage
from app.submissions import checks, files, queries, stored
from app.submissions.checks import Check, State
from app.submissions.files import FileToSend
from app.submissions.models import Submission
from ml.contract.scores import METRICS


@dataclass(frozen=True)
class Earlier:
    """A file that was sent, its score, and Spearman's correlation of its ranks with those of the file looked at; None
    where its predictions are not here or can't be ranked."""

    submission: Submission
    name: str
    score: Score | None
    likeness: float | None


@dataclass(frozen=True)
class Bin:
    """How many probabilities of each file lie from `low` to `high`."""

    low: float
    high: float
    own: int
    best: int


@dataclass(frozen=True)
class Examined:
    """A file before it is sent. `best`: the sent one with the best score, whose predictions are here or not;
    `most`: of all bins, to draw them by."""

    file: FileToSend
    checks: list[Check]
    earlier: list[Earlier]
    best: Earlier | None
    bins: list[Bin]
    most: int

    @property
    def state(self) -> State:
        """The worst of its checks."""
        return checks.worst(self.checks)


def gate(session: Session, contest: Contest, experiment: Experiment, file: FileToSend, board: str) -> list[Check]:
    """What may refuse the experiment's file."""
    own = contest_queries.file_by_id(session, experiment.test_file_id) if experiment.test_file_id else None
    rows, decimals = own.rows if own else None, file.form.decimals
    labels = "probability" not in file.form.columns
    of_file = checks.of_file(file.written_N, file.predicted_N, rows, decimals, labels=labels)
    return [_form(file), *of_file, *answered(session, contest, own), same_file(session, contest, file, board)]


def require(found: Sequence[Check], *, anyway: bool) -> None:
    """Raise Refused that names what refuses the file, unless a person insists."""
    wrong = [item for item in found if item.state == "refuse"]
    if wrong and not anyway:
        told = "; ".join(f"{_(checks.NAMES[item.name])}: {item.text}" for item in wrong)
        raise Refused(
            _("its file is refused, and uses no place: %(told)s. It can be sent all the same.", told=told),
            [FieldError(item.name, item.text) for item in wrong],
            {"kind": "check"},
        )


def answered(session: Session, contest: Contest, own: ContestFile | None) -> list[Check]:
    """Which test file it answers, where that is known."""
    newest = next(iter(contest_queries.files(session, contest.id, "test")), None)
    if own is None or newest is None:
        return []
    told = {"own": own.name, "newest": newest.name}
    if own.id == newest.id:
        return [Check("test_file", "ok", _("it answers %(own)s, the contest's newest test file", **told))]
    text = _("it answers %(own)s; the contest's newest test file is %(newest)s", **told)
    return [Check("test_file", "warn", text)]


def _form(file: FileToSend) -> Check:
    """Whether the contest can read it at all."""
    told = {"file": file.name, "columns": ", ".join(file.form.columns)}
    ok = _("%(file)s (%(columns)s) is read back as the contest reads it", **told)
    return Check("form", "refuse", file.fault) if file.fault else Check("form", "ok", ok)


def same_file(
    session: Session, contest: Contest, file: FileToSend, board: str, waiting: Experiment | None = None
) -> Check:
    """Nothing is learnt by sending the same bytes to the same board, which it may be where none is named; and by the
    same predictions hardly more. `waiting`: it is about to be scored, so a submission of this experiment that was sent
    and has no score yet is this one."""
    before = queries.same_file(session, contest.id, file.sha256, file.predictions_sha256)
    scores = queries.scores_of(session, [row.id for row in before])
    if waiting is not None:
        before = [row for row in before if row.experiment_id != waiting.id or scores.get(row.id)]
    if not before:
        return Check("same_file", "ok", _("no file of this hash was sent"))
    told = "; ".join(_told(row, standing(scores.get(row.id, ()))) for row in before)
    if any(row.sha256 == file.sha256 and (row.board == board or not row.board or not board) for row in before):
        return Check("same_file", "refuse", _("exactly this file was sent before: %(told)s", told=told))
    return Check("same_file", "warn", _("the same predictions were sent before: %(told)s", told=told))


def _told(row: Submission, score: Score | None) -> str:
    """Who sent it, when, and what it got."""
    values = {
        "id": row.id,
        "who": row.sent_by or _("somebody"),
        "day": row.contest_day.isoformat(),
        "board": row.board or "–",
        "score": (score.text or f"{score.value:.6g}") if score else _("no score yet"),
    }
    return _("submission %(id)s by %(who)s on %(day)s, board %(board)s, %(score)s", **values)


def standing(scores: Sequence[Score]) -> Score | None:
    """Of online scores in the order in which they were posted the last that counts: the last posted, unless it came
    with a time that lies before another's. Clocks are not asked where no time was told: they leap."""
    last = None
    for row in scores:
        if row.counts and (last is None or row.told_at is None or row.told_at >= last.moment):
            last = row
    return last


def examine(session: Session, storage: Storage, contest: Contest, experiment: Experiment, board: str = "") -> Examined:
    """Everything that can be said of the experiment's file. Raises NotFound when there is none."""
    file = files.file_of(session, storage, experiment)
    return beside(session, storage, contest, file, gate(session, contest, experiment, file, board), board)


def beside(
    session: Session, storage: Storage, contest: Contest, file: FileToSend, found: list[Check], board: str
) -> Examined:
    """The file, of which so much was `found`, beside those that were sent."""
    earlier = _earlier(session, storage, contest, file)
    best = best_of(contest, earlier, board)
    other_N = stored.earlier(storage, best.submission.predictions_sha256) if best else None
    own, others = checks.histogram(file.written_N), [0] * checks.BINS if other_N is None else checks.histogram(other_N)
    width = 1 / checks.BINS
    bins = [Bin(n * width, (n + 1) * width, own[n], others[n]) for n in range(checks.BINS)]
    return Examined(file, [*found, *_likeness(earlier)], earlier, best, bins, max(1, *own, *others))


def _earlier(session: Session, storage: Storage, contest: Contest, file: FileToSend) -> list[Earlier]:
    """Each file that was sent; of one that was sent twice, each time."""
    rows = queries.sent(session, contest.id)
    names = queries.names_of(session, [row.experiment_id for row in rows if row.experiment_id])
    gone = queries.removed(session, [row.removed_id for row in rows if row.removed_id])
    scores, likeness = queries.scores_of(session, [row.id for row in rows]), dict[str, float | None]()
    found = []
    for row in rows:
        key = row.predictions_sha256
        if key not in likeness:
            other_N = stored.earlier(storage, key)
            likeness[key] = None if other_N is None else checks.likeness(file.written_N, other_N)
        name = names.get(row.experiment_id or 0) or (gone[row.removed_id].name if row.removed_id in gone else "")
        found.append(Earlier(row, name, standing(scores.get(row.id, ())), likeness[key]))
    return found


def best_of(contest: Contest, earlier: Sequence[Earlier], board: str) -> Earlier | None:
    """The best score of this board, or of any where it is empty or has none; of equal ones the last."""
    scored = [item for item in earlier if item.score]
    on_board = [item for item in scored if board and item.submission.board == board]
    sign = 1 if METRICS[contest.metric].higher_is_better else -1

    def by_value(item: Earlier) -> tuple[float, int]:
        return (sign * item.score.value, item.score.id) if item.score else (0.0, 0)

    return max(on_board or scored, key=by_value, default=None)


def _likeness(earlier: Sequence[Earlier]) -> list[Check]:
    """One finding for all: the nearest, if it is a twin, else the farthest, if it is a stranger."""
    known = [(item.likeness, item) for item in earlier if item.likeness is not None]
    if not known:
        return [Check("likeness", "ok", _("no file that was sent can be compared with it"))]
    nearest, near = max(known, key=lambda pair: pair[0])
    farthest, far = min(known, key=lambda pair: pair[0])
    if nearest > checks.TWINS:
        told = {"rho": f"{nearest:.5f}", "id": near.submission.id, "name": near.name}
        text = _("it ranks the rows as submission %(id)s (%(name)s) does: rank correlation %(rho)s", **told)
        return [Check("likeness", "warn", text)]
    if farthest < checks.STRANGERS:
        told = {"rho": f"{farthest:.5f}", "id": far.submission.id, "name": far.name}
        text = _(
            "rank correlation with submission %(id)s (%(name)s) is %(rho)s: are these the same rows in the same order?",
            **told,
        )
        return [Check("likeness", "warn", text)]
    told = {"low": f"{farthest:.5f}", "high": f"{nearest:.5f}", "count": len(known)}
    return [Check("likeness", "ok", _("rank correlation %(low)s to %(high)s with %(count)s sent before", **told))]
