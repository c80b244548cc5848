"""The commands `pairboard score` and `pairboard import-scores`. Added to the others by cli.py."""

import getpass
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from app import schema
from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import Database
from app.errors import AppError
from app.experiments import queries as experiment_queries
from app.settings import load
from app.submissions import importing, naming, queries, service
from app.submissions.service import OnlineScore


def add_to(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("score")(score_command)
    cli.command("import-scores")(import_command)


def score_command(
    what: Annotated[
        str, typer.Argument(help="number of the experiment, or slug of the contest with one of the options")
    ],
    value: Annotated[str, typer.Argument(help="what the contest answered")],
    experiment: Annotated[str, typer.Option(help="name or number, in the contest")] = "",
    sha256: Annotated[str, typer.Option(help="of the file that was sent; its first 8 digits will do")] = "",
    file: Annotated[Path | None, typer.Option(help="the file that was sent: its hash is taken")] = None,
    board: Annotated[str, typer.Option(help="A, B, public")] = "",
    note: Annotated[str, typer.Option()] = "",
    time: Annotated[str, typer.Option(help="when it was told; without an offset in the contest's zone")] = "",
    submission: Annotated[int | None, typer.Option(help="number of the submission that got it")] = None,
    corrects: Annotated[int | None, typer.Option(help="number of the score that was wrong")] = None,
    key: Annotated[str | None, typer.Option(help="the same key twice stores one score")] = None,
    by: Annotated[str, typer.Option(help="who posts it; default: the user of this machine")] = "",
) -> None:
    """Add an online score: `pairboard score 12 0.8778`, `pairboard score oppo 0.8778 --experiment "n-gram mask"`."""
    with _writing() as session:
        by_number = what.isdecimal() and not (experiment or sha256 or file)
        contest = _contest_of(session, int(what)) if by_number else contest_queries.contest(session, what)
        score = OnlineScore(
            service.number(value),
            note,
            text=value.strip(),
            source="command",
            made_by=by or _user(),
            board=board,
            submission=submission,
            corrects=corrects,
            told_at=calendar.moment(contest, time) if time else None,
        )
        if by_number:
            meant = experiment_queries.experiment(session, int(what))
            row, new = service.post_online_score(session, meant, score, key=key)
        else:
            digest = _hash(file) if file else sha256
            row, new = naming.post(session, contest, score, sha256=digest, experiment=experiment, key=key)
        owner = experiment_queries.experiment(session, row.experiment_id)
        told = f"score {row.id}: {row.text or row.value} for experiment {owner.id} ({owner.name})"
        place = queries.submission(session, row.submission_id) if row.submission_id else None
    print(f"{told}{'' if new else ', which was here before'}")
    if place is not None:
        print(f"submission {place.id} of {place.contest_day}{f', board {row.board}' if row.board else ''}")


def import_command(
    file: Annotated[Path, typer.Argument(help="CSV: value, experiment or sha256, and board, time, note")],
    contest: Annotated[str, typer.Option(help="slug of the contest")],
    by: Annotated[str, typer.Option(help="who brings them; default: the user of this machine")] = "",
) -> None:
    """Add many online scores, all or none. A second import adds nothing."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise AppError(f"{file} can't be read: {error}") from error
    with _writing() as session:
        found = importing.import_scores(session, contest_queries.contest(session, contest), content, by or _user())
        for line, row in sorted(found.scores.items()):
            known = ", here before" if line in found.known else ""
            print(f"line {line}: score {row.id}, {row.text or row.value} for experiment {row.experiment_id}{known}")
    print(f"{contest}: {found.new} scores added, {len(found.known)} were here before")


def _contest_of(session: Session, number: int) -> Contest:
    experiment = experiment_queries.experiment(session, number)
    return contest_queries.contest_by_id(session, experiment.contest_id)


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AppError(f"{path} can't be read: {error}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


@contextmanager
def _writing() -> Iterator[Session]:
    settings = load()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        schema.require_head(database.write_engine)
        with database.writing() as session:
            yield session
    finally:
        database.dispose()
