"""The conditions of a search of the table, term by term. Called by queries.ranked."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, false, func, literal, not_, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from app.contests.models import Contest
from app.experiments.models import Experiment, ExperimentField, ExperimentTag
from app.experiments.queries import TAGS
from app.leaderboard.search import CHOICES, NUMBERS, RELATIONS, Term


class _Position(FunctionElement[int]):
    """Where a text has a word in it, in capitals or not; 0: nowhere."""

    type = Integer()
    inherit_cache = True


class _PositionOfAscii(_Position):
    """The same of a word in small letters of ASCII."""

    inherit_cache = True


@compiles(_Position)
def _strpos(element: _Position, compiler: Any, **how: Any) -> str:
    text, word = (compiler.process(part, **how) for part in element.clauses)
    return f"strpos(lower({text}), lower({word}))"


@compiles(_PositionOfAscii)
def _strpos_of_ascii(element: _PositionOfAscii, compiler: Any, **how: Any) -> str:
    # to look for the small letter of every letter in the world takes twice as long
    text, word = (compiler.process(part, **how) for part in element.clauses)
    return f'strpos(lower(({text}) COLLATE "C"), {word})'


@compiles(_Position, "sqlite")
@compiles(_PositionOfAscii, "sqlite")
def _instr(element: _Position, compiler: Any, **how: Any) -> str:
    text, word = (compiler.process(part, **how) for part in element.clauses)
    return f"instr(lower({text}), lower({word}))"


def condition(term: Term, contest: Contest, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """What rows must fulfil. One without the value fulfils neither `valid>0.9` nor `valid<0.9`, but `-valid>0`."""
    held = _held(term, contest, columns)
    return not_(held.is_(True)) if term.negated else held


def _held(term: Term, contest: Contest, columns: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    compare = RELATIONS[term.relation]
    if term.name in NUMBERS:
        return _is(compare(columns[term.name], term.value))
    if term.name == "":
        return _word(str(term.value), contest)
    if term.name == "status":
        external = Experiment.origin == "external"
        # whether a row has runs at all is looked up row by row: only where it matters
        status = columns["unfinished" if term.value in {"failed", "cancelled", "running"} else "status"]
        here = external if term.value == "external" else and_(not_(external), status == term.value)
        return here if term.relation != "!=" else not_(here)
    if term.name == "check":
        here = _is(func.coalesce(columns[f"check:{term.value}"], false()))
        return here if term.relation != "!=" else not_(here)
    if term.name in {"mark", "audit", "tag", "by", "id"}:
        there = _has(term.name, str(term.value))
        return there if term.relation != "!=" else not_(there)
    fields = ExperimentField
    number = isinstance(term.value, bool | int | float)
    value = compare(fields.number, float(term.value)) if number else compare(fields.text, term.value)
    there = and_(fields.contest_id == contest.id, fields.name == term.name, value)
    return Experiment.id.in_(select(fields.experiment_id).where(there))


def _word(word: str, contest: Contest) -> ColumnElement[bool]:
    """In a text that people wrote, or as what a field of the config is set to."""
    # one text of the three: a row is then looked through once, not three times; no word holds a line's end
    texts = Experiment.name + "\n" + Experiment.note + "\n" + Experiment.verdict
    tags = select(TAGS.c.tag).where(_position(TAGS.c.tag, word) > 0)
    tagged = select(ExperimentTag.experiment_id).where(ExperimentTag.tag.in_(tags))
    places = [_position(texts, word) > 0, Experiment.id.in_(tagged)]
    if names := CHOICES.get(word.lower()):
        fields = ExperimentField
        chosen = and_(fields.contest_id == contest.id, fields.name.in_(names), fields.text == word.lower())
        places.append(Experiment.id.in_(select(fields.experiment_id).where(chosen)))
    return or_(*places)


def _position(text: ColumnElement[str], word: str) -> _Position:
    return _PositionOfAscii(text, literal(word.lower())) if word.isascii() else _Position(text, literal(word))


def _has(name: str, value: str) -> ColumnElement[bool]:
    if name == "mark":
        return _is(Experiment.marks[value].as_string().is_not(None))
    if name == "tag":
        return Experiment.id.in_(select(ExperimentTag.experiment_id).where(ExperimentTag.tag == value))
    if name == "audit":
        return Experiment.audit == value
    return Experiment.made_by == value if name == "by" else Experiment.id.in_([int(item) for item in value.split(",")])


def _is(comparison: Any) -> ColumnElement[bool]:
    """Columns are typed as anything, and so are comparisons of them."""
    made: ColumnElement[bool] = comparison
    return made
