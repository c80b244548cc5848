"""Making contests and taking in their files."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.contests import queries
from app.contests.models import Contest, ContestFile
from app.contests.report import FileReport, examine
from app.db import clock
from app.errors import Conflict, FieldError, Refused
from app.language import gettext as _
from app.language import ngettext
from app.storage import Storage, Stored
from app.texts import checked_note
from ml.contract.fingerprint import digest
from ml.contract.pair_file import FileKind, PairFileLayout, sniff
from ml.contract.scores import METRICS

_SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$")


@dataclass(frozen=True)
class Columns:
    """What a person says of a file's layout; None: find out."""

    header: bool | None = None
    label_column: int | None = None
    text_columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Examined:
    """An uploaded file, stored and read through, not yet a row."""

    name: str
    kind: FileKind
    stored: Stored
    layout: PairFileLayout
    report: FileReport


def columns_of(
    header: bool | None, label_column: int | None, text_column_a: int | None, text_column_b: int | None
) -> Columns:
    """What a form or a program said of the columns. Raises Refused for one text column without the other."""
    if (text_column_a is None) != (text_column_b is None):
        raise Refused(_("say both text columns or neither"))
    both = (text_column_a, text_column_b) if text_column_a is not None and text_column_b is not None else None
    return Columns(header, label_column, both)


def create_contest(session: Session, *, name: str, metric: str, slug: str = "", note: str = "") -> Contest:
    """A new contest; the slug comes from the name unless given. Raises Refused, Conflict."""
    name, slug = name.strip(), slug.strip()
    problems = []
    if not 1 <= len(name) <= 200 or not name.isprintable():
        problems.append(FieldError("name", _("give a name of 1 to 200 printable characters"), name))
    if metric not in METRICS:
        problems.append(FieldError("metric", _("choose one of %(names)s", names=", ".join(METRICS)), metric))
    if slug and not _SLUG.match(slug):
        problems.append(FieldError("slug", _("1 to 60 of a-z, 0-9 and -, with a letter or digit at both ends"), slug))
    if problems:
        raise Refused("; ".join(f"{item.field} {item.value!r}: {item.message}" for item in problems), problems)
    slug = slug or _slug_of(session, name)
    if queries.find_contest(session, slug):
        message = _("there is a contest at %(slug)s already: choose another slug", slug=repr(slug))
        raise Conflict(message, [FieldError("slug", message, slug)])
    contest = Contest(slug=slug, name=name, metric=metric, note=checked_note(note), created_at=clock(session))
    session.add(contest)
    session.flush()
    return contest


def _slug_of(session: Session, name: str) -> str:
    """From the name's Latin letters and digits; a number behind it when taken. A wholly Chinese name: contest."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "contest"
    slug, number = stem, 2
    while queries.find_contest(session, slug):
        slug, number = f"{stem}-{number}", number + 1
    return slug


def receive_file(
    storage: Storage, source: BinaryIO, name: str, kind: FileKind, columns: Columns, *, skip_bad_rows: bool
) -> Examined:
    """Store an upload and read it through; touches no database, so that it may take its time.

    Raises Refused, with the report as its detail, for a file that has bad rows unless they are to be left out, and
    for one without a good row. A test file's rows can't be left out: predictions answer it line by line.
    """
    name = PurePath(name.replace("\\", "/")).name[:255] or "unnamed"
    stored = storage.store(source)
    try:
        layout = sniff(
            stored.path,
            kind,
            header=columns.header,
            label_column=columns.label_column,
            text_columns=columns.text_columns,
        )
    except ValueError as error:
        raise Refused(str(error).replace(str(stored.path), name).replace(stored.path.name, name)) from error
    layout = layout.model_copy(update={"skip_bad_rows": skip_bad_rows})
    report = examine(stored.path, layout, kind)
    _refuse_bad(name, kind, report, skip_bad_rows=skip_bad_rows)
    return Examined(name, kind, stored, layout, report)


def _refuse_bad(name: str, kind: FileKind, report: FileReport, *, skip_bad_rows: bool) -> None:
    if report.bad_rows and (kind == "test" or not skip_bad_rows):
        first = report.bad_examples[0]
        way_out = (
            _("a test file's rows can't be left out, since predictions answer it line by line: mend the file")
            if kind == "test"
            else _("mend the file, or say that it should be loaded without its bad rows")
        )
        raise Refused(
            ngettext(
                "%(name)s has %(num)d bad row of %(rows)s; the first is line %(line)s: %(reason)s. "
                "Nothing was loaded: %(way_out)s.",
                "%(name)s has %(num)d bad rows of %(rows)s; the first is line %(line)s: %(reason)s. "
                "Nothing was loaded: %(way_out)s.",
                report.bad_rows,
                name=name,
                rows=report.rows + report.bad_rows,
                line=first.line,
                reason=first.reason,
                way_out=way_out,
            ),
            [FieldError(f"line {item.line}", item.reason, item.text) for item in report.bad_examples],
            report.model_dump(mode="json"),
        )
    if not report.rows:
        raise Refused(_("%(name)s has no row that can be used", name=name), detail=report.model_dump(mode="json"))


def add_file(session: Session, contest: Contest, examined: Examined) -> tuple[ContestFile, bool]:
    """The row of an examined file, and whether it is new: the same bytes read the same way are one file."""
    layout = examined.layout.model_dump(mode="json")
    layout_digest = digest(layout)
    same = queries.same_file(session, contest.id, examined.kind, examined.stored.sha256, layout_digest)
    if same is not None:
        return same, False
    file = ContestFile(
        contest_id=contest.id,
        kind=examined.kind,
        name=examined.name,
        sha256=examined.stored.sha256,
        size=examined.stored.size,
        rows=examined.report.rows,
        layout=layout,
        layout_digest=layout_digest,
        report=examined.report.model_dump(mode="json"),
        created_at=clock(session),
    )
    session.add(file)
    session.flush()
    return file, True
