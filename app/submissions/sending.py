"""Planning, sending and withdrawing: what a submission goes through before it has a score."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Conflict, FieldError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.storage import Storage
from app.submissions import checking, files, queries, quota, remembering, stored, uploaded
from app.submissions.models import Submission
from app.submissions.uploaded import Came

#: how much the clock of the one who posts may be ahead of ours
AHEAD = timedelta(minutes=5)
LONGEST_BOARD = 20


@dataclass(frozen=True)
class Asked:
    """What a person says of a file. `anyway`: although a check refuses it; `came`: one that was made elsewhere;
    `sha256`: of one that was made elsewhere and is not here."""

    board: str = ""
    remark: str = ""
    who: str = ""
    anyway: bool = False
    sha256: str = ""
    came: Came | None = None


def checked_board(board: str) -> str:
    """A board's name without surrounding spaces. Raises Refused for a long or unprintable one."""
    board = board.strip()
    if len(board) > LONGEST_BOARD or not board.isprintable():
        message = _("a board is at most %(most)s printable characters: A, B, public", most=LONGEST_BOARD)
        raise Refused(
            _("board %(begin)s: %(message)s", begin=repr(board[:50]), message=message),
            [FieldError("board", message, board[:50])],
        )
    return board


def checked_past(session: Session, moment: datetime) -> datetime:
    """A moment that has come. Raises Refused for one ahead."""
    if moment > clock(session) + AHEAD:
        message = _("%(time)s has not come yet", time=moment.isoformat())
        raise Refused(message, [FieldError("time", message, moment.isoformat())])
    return moment


def plan(
    session: Session, storage: Storage, experiment: Experiment, asked: Asked, day: date | None = None
) -> Submission:
    """Hold a place of a day for the experiment's file, which may still be on its way. Raises Conflict when the day is
    full, or it is planned for it already; Refused for a file that a check refuses."""
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    board = checked_board(asked.board)
    queries.lock_contest(session, contest)
    queries.lock_experiment(session, experiment)
    today = quota.today(session, contest)
    day = day or today
    if day < today:
        message = _("%(day)s is over in the contest's zone %(zone)s", day=day.isoformat(), zone=contest.time_zone)
        raise Refused(message, [FieldError("day", message, day.isoformat())])
    sha256, predictions_sha256 = _hashes(session, storage, contest, experiment, asked, board, on_its_way=True)
    for row in queries.of_experiment(session, experiment.id):
        if row.state == "planned" and (row.contest_day, row.board) == (day, board):
            raise Conflict(_("it is planned for that day already, as submission %(id)s", id=row.id))
    _require_room(session, contest, day, planned=True)
    row = Submission(
        contest_id=contest.id,
        experiment_id=experiment.id,
        sha256=sha256,
        predictions_sha256=predictions_sha256,
        board=board,
        contest_day=day,
        remark=asked.remark.strip(),
        made_by=asked.who,
        created_at=clock(session),
    )
    session.add(row)
    session.flush()
    return row


def send(session: Session, storage: Storage, row: Submission, asked: Asked, at: datetime | None = None) -> Submission:
    """The file went to the contest, at that moment or now. A second time changes nothing. Raises Conflict when it was
    withdrawn or the day is full, Refused for a file that a check refuses."""
    contest = contest_queries.contest_by_id(session, row.contest_id)
    queries.lock_contest(session, contest)
    session.refresh(row)
    if row.state == "sent":
        return row
    experiment = _experiment(session, row)
    moment = checked_past(session, at) if at else clock(session)
    board = checked_board(asked.board) or row.board
    hashes = _hashes(session, storage, contest, experiment, asked, board, on_its_way=False)
    day = calendar.day_of(contest, moment)
    _require_room(session, contest, day, planned=day != row.contest_day)
    row.board, row.remark = board, asked.remark.strip() or row.remark
    row.sha256, row.predictions_sha256 = hashes
    mark_sent(contest, row, moment, asked.who)
    session.flush()
    return row


def send_now(
    session: Session, storage: Storage, experiment: Experiment, asked: Asked, at: datetime | None = None
) -> Submission:
    """A file that nobody planned went to the contest. Raises as send does."""
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    board = checked_board(asked.board)
    queries.lock_contest(session, contest)
    queries.lock_experiment(session, experiment)
    moment = checked_past(session, at) if at else clock(session)
    hashes = _hashes(session, storage, contest, experiment, asked, board, on_its_way=False)
    _require_room(session, contest, calendar.day_of(contest, moment), planned=True)
    row = add(session, contest, experiment, hashes, board=board, who=asked.who, moment=moment)
    row.remark = asked.remark.strip()
    session.flush()
    return row


def add(
    session: Session,
    contest: Contest,
    experiment: Experiment,
    hashes: tuple[str, str],
    *,
    board: str,
    who: str,
    moment: datetime,
) -> Submission:
    """A submission that was sent. Its contest is locked; whether the day has room is not asked: a score that came is
    a fact. `hashes`: of the file, and of the predictions that it was made of."""
    row = Submission(
        contest_id=contest.id,
        experiment_id=experiment.id,
        sha256=hashes[0],
        predictions_sha256=hashes[1],
        board=board,
        made_by=who,
        created_at=clock(session),
    )
    mark_sent(contest, row, moment, who)
    session.add(row)
    session.flush()
    return row


def mark_sent(contest: Contest, row: Submission, moment: datetime, who: str) -> None:
    """From here on it uses the quota of the contest's day in which the moment lies."""
    row.sent_at, row.sent_by = moment, who
    row.contest_day = calendar.day_of(contest, moment)


def withdraw(session: Session, row: Submission, why: str, who: str) -> Submission:
    """A plan is given up, or the contest did not take the file: it uses no quota. A second time changes nothing. Raises
    Conflict for one that has a score: it was taken."""
    queries.lock_contest(session, contest_queries.contest_by_id(session, row.contest_id))
    session.refresh(row)
    if row.withdrawn_at is not None:
        return row
    if queries.scored(session, row.id):
        raise Conflict(_("submission %(id)s has a score, so the contest took it: correct the score", id=row.id))
    row.withdrawn_at, row.withdrawn_by, row.withdrawn_why = clock(session), who, why.strip()
    session.flush()
    return row


def _experiment(session: Session, row: Submission) -> Experiment:
    if row.withdrawn_at is not None:
        raise Conflict(_("submission %(id)s was withdrawn: plan another", id=row.id))
    if row.experiment_id is None:
        raise Conflict(_("the experiment of submission %(id)s was removed for good", id=row.id))
    return session.get_one(Experiment, row.experiment_id)


def _hashes(
    session: Session,
    storage: Storage,
    contest: Contest,
    experiment: Experiment,
    asked: Asked,
    board: str,
    *,
    on_its_way: bool,
) -> tuple[str, str]:
    """Of the file and of its predictions, after the checks. A file that was made elsewhere and is not here has the hash
    that is told, and can't be looked at; a failed job has no file, and never uses a place."""
    if asked.came is not None:
        file, found = uploaded.gate(session, storage, contest, experiment, asked.came, board)
        checking.require(found, anyway=asked.anyway)
        remembering.keep_uploaded(session, experiment.id, file)
        return file.sha256, file.predictions_sha256
    if asked.sha256:
        return asked.sha256, ""
    if stored.found(session, experiment) is None:
        _require_hope(session, experiment, on_its_way=on_its_way)
        return "", ""
    file = files.file_of(session, storage, experiment)
    checking.require(checking.gate(session, contest, experiment, file, board), anyway=asked.anyway)
    remembering.keep(session, experiment.id, file)
    return file.sha256, file.predictions_sha256


def _require_hope(session: Session, experiment: Experiment, *, on_its_way: bool) -> None:
    """Without a file here: trained elsewhere is sent from there; a job under way can be planned for."""
    states = queries.statuses(session, experiment.id)
    if not states or (on_its_way and states & {"queued", "running"} and not states & {"failed", "cancelled"}):
        return
    if states & {"failed", "cancelled"}:
        raise Conflict(_("its job failed or was cancelled: it has no file, and uses no place"))
    raise Conflict(_("it has no file to send: it has not finished, or has no test file"))


def _require_room(session: Session, contest: Contest, day: date, *, planned: bool) -> None:
    """`planned`: places that plans hold are taken, too; who sends what was planned for that day has one."""
    found = quota.of_day(session, contest, day)
    room = found.left if planned else found.unsent
    if room == 0:
        told = {"day": day.isoformat(), "used": found.used, "planned": found.planned, "limit": found.limit}
        raise Conflict(
            _(
                "%(day)s is full: %(used)s used and %(planned)s planned of %(limit)s; choose another day, withdraw a "
                "plan, or raise the number a day",
                **told,
            )
        )
