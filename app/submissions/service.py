"""Online scores: append-only, posted once however often they are sent, each of a submission. A correction is a new
score that names the old one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Conflict, FieldError, Refused
from app.experiments import bests, queries
from app.experiments import service as experiments
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.submissions import checking, files, sending
from app.submissions import queries as submission_queries
from app.submissions.models import Submission
from ml.contract.scores import METRICS


@dataclass(frozen=True)
class OnlineScore:
    """What the contest said. `text` keeps the number as it was typed.

    `submission`: the one that got it; None: the experiment's newest that was sent and has no score, else its plan, else
    a new one, sent at that moment. `sha256`: of the file, where it is known. `corrects`: the score that was wrong.
    `told_at`: when the contest told it; None: now, or when it told what this corrects.
    `sent`: false where nobody sent a file, and no place of a day is used: the answers lie here, and runs are scored.
    """

    value: float
    note: str = ""
    text: str = ""
    uncertain: bool = False
    source: str = "rest"
    made_by: str = ""
    board: str = ""
    submission: int | None = None
    corrects: int | None = None
    told_at: datetime | None = None
    sha256: str = ""
    sent: bool = True


def number(text: str) -> float:
    """The number that a person typed. Raises Refused for anything else."""
    try:
        return float(text.strip())
    except ValueError as error:
        message = _("%(text)s is not a number: type it as 0.8778", text=repr(text.strip()[:50]))
        raise Refused(message, [FieldError("value", message, text[:50])]) from error


def checked(metric: str, value: float) -> float:
    """The value, if the metric can be that. Raises Refused for NaN, infinity and what lies outside its range."""
    try:
        return METRICS[metric].check(value)
    except ValueError as error:
        raise Refused(str(error), [FieldError("value", str(error), repr(value))]) from error


def post_online_score(
    session: Session, experiment: Experiment, score: OnlineScore, *, key: str | None = None
) -> tuple[Score, bool]:
    """Append an online score; returns it and whether it is new.

    The same idempotency key with the same score answers what was stored the first time; with another score it is a
    Conflict, and so is correcting what was corrected. Raises Refused for NaN, infinity, values outside the range of the
    contest's metric, and a submission or score of another experiment or contest.
    """
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    checked(contest.metric, score.value)
    board = sending.checked_board(score.board)
    if key is not None and not 1 <= len(key) <= 200:
        raise Refused(_("the Idempotency-Key has %(count)s characters: 1 to 200, a UUID for example", count=len(key)))
    submission_queries.lock_contest(session, contest)
    # the same key twice at once: the second waits for the first
    submission_queries.lock_experiment(session, experiment)
    if key and (earlier := queries.score_by_key(session, experiment.id, key)):
        _require_same(earlier, score, board, key)
        return earlier, False
    old = _to_correct(session, contest, score.corrects)
    if score.told_at is not None:
        sending.checked_past(session, score.told_at)
    submission = _submission(session, contest, experiment, score, board, old) if _sent(score, old) else None
    row = Score(
        experiment_id=experiment.id,
        submission_id=submission.id if submission else None,
        split="online",
        metric=contest.metric,
        value=score.value,
        text=score.text,
        uncertain=score.uncertain,
        note=score.note,
        board=board or (old.board if old else "") or (submission.board if submission else ""),
        source=score.source,
        made_by=score.made_by,
        idempotency_key=key,
        told_at=score.told_at or (old.moment if old else None),
        corrects_id=old.id if old else None,
        created_at=clock(session),
    )
    if score.source != "import":  # a table of before tells no news
        bests.tell(session, experiment, "online", contest.metric, score.value)
    session.add(row)
    if old is not None:
        _take_back(session, old, row, experiment)
    settle(session, experiment.id, contest.metric)
    return row, True


def _require_same(earlier: Score, score: OnlineScore, board: str, key: str) -> None:
    """A repeated post says the same; its board may have come from the submission."""
    same = (earlier.value, earlier.note) == (score.value, score.note) and board in {"", earlier.board}
    named = score.submission in {None, earlier.submission_id} and score.corrects in {None, earlier.corrects_id}
    if not (same and named):
        raise Conflict(
            _(
                "Idempotency-Key %(key)s was used for %(value)g %(note)s before: send a new key for a new score",
                key=repr(key),
                value=earlier.value,
                note=repr(earlier.note),
            )
        )


def _to_correct(session: Session, contest: Contest, number: int | None) -> Score | None:
    """The online score of this number, which no other corrects yet."""
    if number is None:
        return None
    old = submission_queries.score(session, number)
    owner = session.get(Experiment, old.experiment_id) if old else None
    if old is None or old.split != "online" or owner is None or owner.contest_id != contest.id:
        message = _("this contest has no online score %(id)s", id=number)
        raise Refused(message, [FieldError("corrects", message, str(number))])
    if not old.counts:
        raise Conflict(_("score %(id)s was corrected before: correct the one that stands for it", id=number))
    return old


def _take_back(session: Session, old: Score, row: Score, experiment: Experiment) -> None:
    """The corrected score stays, and counts no longer. Where it stood on the wrong experiment, the submission that was
    made for it was none."""
    old.counts = False
    session.flush()
    if old.experiment_id == experiment.id:
        return
    settle(session, old.experiment_id, old.metric)
    submission = session.get(Submission, old.submission_id) if old.submission_id else None
    if (
        submission is not None
        and submission.withdrawn_at is None
        and not submission_queries.scored(session, submission.id)
    ):
        submission.withdrawn_at, submission.withdrawn_by = clock(session), row.made_by
        submission.withdrawn_why = _("its score was that of experiment %(id)s", id=experiment.id)


def settle(session: Session, experiment_id: int, metric: str) -> None:
    """Of the experiment's online scores that count the one that the contest told last is its latest."""
    session.flush()
    rows = submission_queries.online_scores(session, experiment_id, metric)
    last = checking.standing(rows)
    for row in rows:
        if row.latest != (row is last):
            row.latest = row is last
    if last is not None:
        experiments.show(session, last)
    else:
        queries.experiment(session, experiment_id).shown_online = None
    session.flush()


def _sent(score: OnlineScore, old: Score | None) -> bool:
    """Whether it is of a submission; the correction of one that is of none is of none."""
    unsent = old is not None and old.source == "sealed" and old.submission_id is None
    return score.sent and (score.submission is not None or not unsent)


def _submission(
    session: Session, contest: Contest, experiment: Experiment, score: OnlineScore, board: str, old: Score | None
) -> Submission:
    """The submission that got the score; one that was planned was sent, then. A correction uses no place of today."""
    moment = score.told_at or (old.moment if old else clock(session))
    row: Submission | None
    if score.submission is not None:
        row = _named(session, experiment, score)
    elif old is not None and old.experiment_id == experiment.id:
        row = session.get_one(Submission, old.submission_id) if old.submission_id else None
    else:
        row = _waiting(session, contest, experiment, score, board)
    hashes = files.hashes_of(session, experiment, score.sha256)
    if row is None:
        return sending.add(session, contest, experiment, hashes, board=board, who=score.made_by, moment=moment)
    if not row.sha256 or (row.sent_at is None and hashes[0]):  # a plan tells the hash of that day
        row.sha256, row.predictions_sha256 = hashes
    if row.sent_at is None:
        sending.mark_sent(contest, row, moment, score.made_by)
    return row


def _named(session: Session, experiment: Experiment, score: OnlineScore) -> Submission:
    """The one that the score names. Raises NotFound, Refused for another experiment's or another file's, Conflict."""
    row = submission_queries.submission(session, score.submission or 0)
    message = ""
    if row.experiment_id != experiment.id:
        message = _("submission %(id)s is not one of experiment %(experiment)s", id=row.id, experiment=experiment.id)
    elif score.sha256 and row.sha256 and score.sha256 not in {row.sha256, row.predictions_sha256}:
        told = {"id": row.id, "own": row.sha256[:12], "other": score.sha256[:12]}
        message = _("submission %(id)s is of the file %(own)s, not of %(other)s", **told)
    if message:
        raise Refused(message, [FieldError("submission", message, str(row.id))])
    if row.withdrawn_at is not None:
        raise Conflict(_("submission %(id)s was withdrawn: name another, or none", id=row.id))
    return row


def _waiting(
    session: Session, contest: Contest, experiment: Experiment, score: OnlineScore, board: str
) -> Submission | None:
    """The newest without a score that may have got this one: on its board, with its hash, and sent, on its day where a
    time is told; else what is planned for the day."""
    day = calendar.day_of(contest, score.told_at or clock(session))
    rows = [
        row
        for row in submission_queries.of_experiment(session, experiment.id)
        if row.withdrawn_at is None
        and (not board or row.board in {"", board})
        and (not score.sha256 or score.sha256 in {row.sha256, row.predictions_sha256})
        and (row.contest_day == day or (row.sent_at is not None and score.told_at is None))
    ]
    scored = submission_queries.scores_of(session, [row.id for row in rows])
    free = [row for row in rows if not any(item.counts for item in scored.get(row.id, ()))]
    return min(free, key=lambda row: (row.sent_at is None, -row.id), default=None)
