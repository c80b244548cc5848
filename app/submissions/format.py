"""The form in which a contest wants prediction files. Kept with the contest; writing and reading go by it.

Without a word of anybody it is the commonest: one number a line, in the order of the test file, with no header.
"""

import re
from collections.abc import Iterable
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.language import N_
from app.language import gettext as _
from app.pydantic_words import said
from ml.contract.strict import Strict

Column = Literal["id", "probability", "label", "a", "b"]
#: what stands in a column, for forms and pages
COLUMNS: dict[str, str] = {
    "id": N_("number of the test row"),
    "probability": N_("probability that both mean the same"),
    "label": N_("0 or 1, from 0.5 on 1"),
    "a": N_("first sentence of the test row"),
    "b": N_("second sentence of the test row"),
}
SEPARATORS: dict[str, str] = {"tab": "\t", "comma": ","}
LINE_ENDS: dict[str, str] = {"lf": "\n", "crlf": "\r\n"}
_FILE_NAME = re.compile(r"^\w[\w. -]{0,98}\w$")
#: of a probability that is written with all its digits
FEWEST_DECIMALS = 6


class SubmissionFormat(Strict):
    """One contest's form. A person reads the titles of `COLUMNS`; `header` names the columns, empty: there is none."""

    columns: tuple[Column, ...] = Field(("probability",), min_length=1, max_length=5)
    header: tuple[str, ...] = Field((), description="a name for each column; empty: no header")
    separator: Literal["tab", "comma"] = "tab"
    decimals: int | None = Field(None, ge=1, le=17, description="null: every digit of the number, six at least")
    first_id: Literal[0, 1] = Field(0, description="the number of the first test row")
    line_end: Literal["lf", "crlf"] = "lf"
    zipped: bool = Field(False, description="a zip of exactly this one file")
    file_name: str = Field("predictions.tsv", description="of the file; in a zip the name inside")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(_("columns: each of %(names)s at most once", names=", ".join(COLUMNS)))
        if not {"probability", "label"} & set(self.columns):
            raise ValueError(_("columns: a file without probability or label predicts nothing: add one of them"))
        if self.header and len(self.header) != len(self.columns):
            told = {"names": len(self.header), "columns": len(self.columns)}
            raise ValueError(
                _("header: %(names)s names for %(columns)s columns: give each a name, or leave it empty", **told)
            )
        for name in self.header:
            if not name.isprintable() or not name.strip() or any(sign in name for sign in '",'):
                raise ValueError(_("header: %(name)s is no name of a column", name=repr(name[:50])))
        if not _FILE_NAME.match(self.file_name) or ".." in self.file_name:
            raise ValueError(
                _(
                    "file_name: %(name)s: 2 to 100 letters, digits and . _ - with a letter or digit at both ends",
                    name=repr(self.file_name[:100]),
                )
            )
        if self.file_name.lower().endswith(".zip"):
            raise ValueError(_("file_name: name the file itself, as predictions.tsv; the zip is named after it"))
        return self

    @property
    def sent_name(self) -> str:
        """The name under which it is downloaded and sent."""
        stem = self.file_name.rpartition(".")[0] or self.file_name
        return f"{stem}.zip" if self.zipped else self.file_name

    @property
    def with_sentences(self) -> bool:
        """Whether the test file's own sentences stand in it."""
        return bool({"a", "b"} & set(self.columns))


def format_of(contest: Contest) -> SubmissionFormat:
    """The contest's form; one that nobody set is the commonest."""
    return SubmissionFormat.model_validate(contest.submission_format or {})


def checked(typed: dict[str, object]) -> SubmissionFormat:
    """Of what a form or a program sent. Raises Refused that names each field and its value."""
    try:
        return SubmissionFormat.model_validate(typed)
    except ValidationError as error:
        problems = list(_problems(error))
        raise Refused("; ".join(f"{item.field}: {item.message}" for item in problems), problems) from error


def _problems(error: ValidationError) -> Iterable[FieldError]:
    for item in error.errors(include_url=False):
        message = said(item).removeprefix("Value error, ")
        field = ".".join(str(part) for part in item["loc"] if isinstance(part, str))
        if not field:  # of several fields together: the message begins with the one to change
            field, _colon, message = message.partition(": ")
        value = "" if isinstance(item["input"], dict) else repr(item["input"])[:100]
        yield FieldError(field, message, value)


def set_format(session: Session, contest: Contest, form: SubmissionFormat) -> None:
    """From now on the contest's files are written and read so."""
    contest.submission_format = form.model_dump(mode="json")
    session.flush()
