"""A prediction file comes in: it is looked at, scored, and written into the history, whatever came of it.

The transactions are short and lie here: a refused file has to stand in the history although its request fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from numpy import float64
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import Database, clock
from app.errors import AppError, Conflict, FieldError, NotFound, Refused, TooMany
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.language import gettext as _
from app.sealed import answers, queries
from app.sealed.answers import Scored
from app.sealed.models import SealedAnswers, SealedUpload
from app.sealed.terms import day_of, local
from app.storage import Storage
from app.submissions import checking, remembering, uploaded
from app.submissions import service as submissions
from app.submissions.checks import Check
from app.submissions.files import FileToSend
from app.submissions.service import OnlineScore


@dataclass(frozen=True)
class Sent:
    """What somebody sent. `experiment_id`: the experiment that it is of, which gets the score, too; `anyway`: although
    a check refuses it."""

    source: BinaryIO
    name: str
    who: str
    remark: str = ""
    experiment_id: int | None = None
    anyway: bool = False


@dataclass(frozen=True)
class Received:
    """Its line of the history. `new`: it was not scored before; `problem`: why it was refused, to be raised; `checks`:
    what was found before it was scored."""

    row: SealedUpload
    new: bool
    problem: AppError | None
    checks: Sequence[Check] = ()


@dataclass(frozen=True)
class Looked:
    """A file that can be scored: its numbers, what was found of it, and as the checks know it."""

    values: NDArray[float64]
    checks: list[Check]
    file: FileToSend

    @property
    def remarks(self) -> str:
        """What the history keeps beside its score, a line each."""
        return "\n".join(check.text for check in self.checks if check.state != "ok")


@dataclass(frozen=True)
class Task:
    """What the file answers, as it stood when it came."""

    sealed: SealedAnswers
    metric: str


def receive(database: Database, storage: Storage, folder: Path, slug: str, sent: Sent) -> Received:
    """Score the file, or refuse it. Raises NotFound for no sealed contest or experiment, Refused for a remark that is
    too long; everything else is in the history."""
    _require_remark(sent.remark)
    sha256, size = uploaded.hashed(sent.source)
    with database.reading() as session:
        task = _task(session, slug, sent.experiment_id)
        same = queries.same_upload(session, task.sealed.id, sent.who, sha256, sent.experiment_id)
        if same is not None:
            return Received(same, False, None)
        problem: AppError | None = closed(session, task.sealed, sent.who, clock(session))
    looked, found = None, None
    if problem is None:
        try:
            with database.reading() as session:
                looked = look(session, storage, slug, sent)
            checking.require(looked.checks, anyway=sent.anyway)
            found = scored_by(folder, task, looked.values)
        except Refused as error:
            problem = error
    name = uploaded.plain_name(sent.name)
    row = SealedUpload(file_name=name, sha256=sha256, size=size, remark=sent.remark.strip(), made_by=sent.who)
    row.kind, row.experiment_id = "upload", sent.experiment_id
    return _write(database, task, row, looked, found, problem)


def look(session: Session, storage: Storage, slug: str, sent: Sent) -> Looked:
    """The file before it is scored, beside what was sent. Raises Malformed."""
    contest = contest_queries.contest(session, slug)
    sealed, experiment = queries.sealed(session, contest), _of(session, contest, sent.experiment_id)
    test = contest_queries.file_by_id(session, sealed.test_file_id)
    came = uploaded.came(session, storage, contest, sent.source, sent.name, test)
    found = uploaded.examine(session, storage, contest, experiment, came, scored=True)
    others = queries.same_bytes(session, sealed.id, came.sha256)
    return Looked(came.read.values, [_told_of(check, others) for check in found.checks], found.file)


def _told_of(check: Check, others: Sequence[SealedUpload]) -> Check:
    """Nothing is learnt by having the same bytes scored twice, whoever sent them."""
    if check.name != "same_file" or check.state == "refuse" or not others:
        return check
    told = {"who": others[0].made_by, "day": f"{others[0].sent_at:%Y-%m-%d}", "score": f"{others[0].public_score:.5f}"}
    return Check(
        "same_file", "refuse", _("exactly this file was scored before: sent by %(who)s on %(day)s, %(score)s", **told)
    )


def _write(
    database: Database,
    task: Task,
    row: SealedUpload,
    looked: Looked | None,
    found: Scored | None,
    problem: AppError | None,
) -> Received:
    """The line of the history, with the limits looked at once more while nobody else can use the day up."""
    with database.writing() as session:
        sealed = queries.locked(session, task.sealed.id)
        if sealed is None:
            raise NotFound(_("the answers were taken away while the file was read: nothing is scored here"))
        row.sealed_id, row.sent_at = sealed.id, clock(session)
        if problem is None:
            same = queries.same_upload(session, sealed.id, row.made_by, row.sha256, row.experiment_id)
            if same is not None:
                return Received(same, False, None)
            problem = closed(session, sealed, row.made_by, row.sent_at)
        if problem is not None or found is None or looked is None:
            told = problem or Refused(_("it could not be scored"))
            detail = told.detail if isinstance(told.detail, dict) else {}
            row.status, row.fault, row.message = "refused", str(detail.get("kind", "")), told.message
            session.add(row)
            session.flush()
            return Received(row, True, told)
        if row.experiment_id is not None:
            remembering.keep_uploaded(session, row.experiment_id, looked.file)
        add_scored(session, row, found, looked.remarks)
    return Received(row, True, None, looked.checks)


def add_scored(session: Session, row: SealedUpload, found: Scored, remarks: str) -> None:
    """A scored line of the history; its experiment, if it is of one, gets the public score as an online score."""
    row.status, row.message = "scored", remarks
    row.public_score, row.private_score = found.public, found.private
    session.add(row)
    session.flush()
    if row.experiment_id is not None:
        experiment = experiment_queries.experiment(session, row.experiment_id)
        sent = row.kind == "upload"  # of a run the predictions are scored, and nobody sends a file
        online = OnlineScore(
            found.public,
            note=row.remark,
            source="sealed",
            made_by=row.made_by,
            sha256=row.sha256 if sent else "",
            sent=sent,
        )
        key = f"sealed-run-{row.run_id}" if row.run_id is not None else f"sealed-{row.id}"
        submissions.post_online_score(session, experiment, online, key=key)


def closed(session: Session, sealed: SealedAnswers, who: str, now: datetime) -> AppError | None:
    """Why nothing can be sent now: too early, too late, or the member's day is used up."""
    if sealed.opens_at is not None and now < sealed.opens_at:
        opens = local(sealed.opens_at, sealed.time_zone)
        early = _("it opens at %(when)s: send the file then", when=opens)
        return Conflict(early, detail={"kind": "early", "opens_at": sealed.opens_at})
    if sealed.closes_at is not None and now >= sealed.closes_at:
        closing = local(sealed.closes_at, sealed.time_zone)
        late = _("it closed at %(when)s: this file came too late and is not scored", when=closing)
        return Conflict(late, detail={"kind": "late", "closes_at": sealed.closes_at})
    day = day_of(now, sealed.time_zone)
    used = queries.scored_count(session, sealed.id, "upload", day.begins, day.next_begins, who)
    if used < sealed.uploads_a_day:
        return None
    told = {"who": who, "limit": sealed.uploads_a_day, "when": local(day.next_begins, sealed.time_zone)}
    over = _("%(who)s has sent all %(limit)s files of today: the next day begins at %(when)s", **told)
    seconds = (day.next_begins - now).total_seconds()
    return TooMany(over, seconds, detail={"kind": "over_quota", "next_day_at": day.next_begins})


def left_today(session: Session, sealed: SealedAnswers, who: str, now: datetime) -> int:
    """How many files the member may send until the next day begins."""
    day = day_of(now, sealed.time_zone)
    used = queries.scored_count(session, sealed.id, "upload", day.begins, day.next_begins, who)
    return max(0, sealed.uploads_a_day - used)


def scored_by(folder: Path, task: Task, values: NDArray[float64]) -> Scored:
    """By the contest's answers."""
    return answers.score_by(folder, task.sealed.stored, task.sealed.sha256, task.metric, values)


def _task(session: Session, slug: str, experiment_id: int | None) -> Task:
    contest = contest_queries.contest(session, slug)
    sealed = queries.sealed(session, contest)
    _of(session, contest, experiment_id)
    return Task(sealed, contest.metric)


def _of(session: Session, contest: Contest, experiment_id: int | None) -> Experiment | None:
    if experiment_id is None:
        return None
    found = experiment_queries.experiment(session, experiment_id)
    if found.contest_id != contest.id:
        message = _("experiment %(id)s is of another contest", id=experiment_id)
        raise Refused(message, [FieldError("experiment_id", message, str(experiment_id))])
    return found


def _require_remark(remark: str) -> None:
    if len(remark.strip()) > 500 or not remark.strip().isprintable():
        message = _("a remark is one line of at most 500 printable characters")
        raise Refused(message, [FieldError("remark", message, repr(remark[:50]))])
