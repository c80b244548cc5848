"""Search over every contest: experiments by the terms that the leaderboard takes, contests, files, and things by their
number. Called by the page and by REST."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import NotFound
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.leaderboard.queries import ranked
from app.leaderboard.row_queries import Row
from app.leaderboard.search import CHOICES, terms
from app.runs import queries as run_queries
from app.search import queries

SHOWN = 10  # of each contest's experiments, of contests and of files
AROUND = 60  # characters of a note on each side of what was found
_NUMBER = re.compile(r"(?:#|(experiment|run)\s+#?)?(\d{1,18})", re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """A part of a text; `hit`: it is what was looked for."""

    text: str
    hit: bool


@dataclass(frozen=True)
class FoundRow:
    """An experiment, with the texts that hold what was looked for. `settings`: fields of its config that are set to a
    word of the search, as `encoder.model_type: nezha`."""

    row: Row
    name: list[Piece]
    texts: list[list[Piece]]
    tags: list[list[Piece]]
    settings: list[str]


@dataclass(frozen=True)
class InContest:
    """What was found in a contest: the first of `total` experiments, `archived` more in its archive."""

    contest: Contest
    rows: list[FoundRow]
    total: int
    archived: int


@dataclass(frozen=True)
class Everything:
    """All that was found. `numbered`: experiments of this number, or of the run of this number (`run`)."""

    contests: Sequence[Contest] = ()
    contest_total: int = 0
    files: list[tuple[ContestFile, Contest]] = field(default_factory=list)
    file_total: int = 0
    inside: list[InContest] = field(default_factory=list)
    numbered: Sequence[Experiment] = ()
    run: int | None = None

    @property
    def nothing(self) -> bool:
        """Whether the search found nothing at all."""
        return not (self.contests or self.files or self.inside or self.numbered)


def everything(session: Session, text: str) -> Everything:
    """Look for it everywhere. Raises Refused for a term that can't be understood, as the leaderboard does."""
    asked = terms(text)
    if not asked:
        return Everything()
    words = [str(term.value) for term in asked if term.name == "" and not term.negated]
    plain = len(words) == len(asked)
    contests, contest_total = queries.contests_named(session, words, SHOWN) if plain else ((), 0)
    files, file_total = queries.files_named(session, words, SHOWN) if plain else ([], 0)
    numbered, run = _numbered(session, text)
    return Everything(contests, contest_total, files, file_total, _inside(session, text, words), numbered, run)


def _inside(session: Session, text: str, words: list[str]) -> list[InContest]:
    found = []
    for contest in contest_queries.all_contests(session):
        ranking = ranked(session, contest, search=text, limit=SHOWN)
        archived = ranked(session, contest, search=text, limit=1, archived=True).total if ranking.elsewhere else 0
        if ranking.total or archived:
            rows = [_found(session, row, words) for row in ranking.rows]
            found.append(InContest(contest, rows, ranking.total, archived))
    return found


def _found(session: Session, row: Row, words: list[str]) -> FoundRow:
    texts, tags = _hits((row.verdict, row.note), words), _hits(row.tags, words)
    fields = {name: word.lower() for word in words for name in CHOICES.get(word.lower(), ())}
    held = experiment_queries.field_texts(session, row.id, list(fields)) if fields else {}
    settings = [f"{name}: {held[name]}" for name, word in fields.items() if held.get(name) == word]
    return FoundRow(row, marked(row.name, words), texts, tags, settings)


def _hits(texts: Sequence[str], words: list[str]) -> list[list[Piece]]:
    pieces = [marked(text, words) for text in texts]
    return [parts for parts in pieces if any(part.hit for part in parts)]


def _numbered(session: Session, text: str) -> tuple[Sequence[Experiment], int | None]:
    """`31`, `#31`, `experiment 31`: that experiment; `run 12`: those that the run works for."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        return (), None
    number = int(match[2])
    try:
        if (match[1] or "").lower() == "run":
            run_queries.run(session, number)
            ids = run_queries.experiment_ids_of(session, number)
            return [experiment_queries.experiment(session, item) for item in ids], number
        return [experiment_queries.experiment(session, number)], None
    except NotFound:
        return (), None


def marked(text: str, words: Sequence[str]) -> list[Piece]:
    """The text in pieces, cut around the first word that stands in it; letters count as the same in both cases."""
    wanted = [re.escape(word) for word in sorted(words, key=len, reverse=True) if word]
    hits = list(re.finditer("|".join(wanted), text, re.IGNORECASE)) if wanted else []
    start = max(0, hits[0].start() - AROUND) if hits else 0
    end = min(len(text), (hits[0].end() if hits else AROUND) + AROUND)
    pieces, at = [Piece("…", False)] if start else [], start
    for hit in hits:
        if hit.end() <= end:
            pieces += [Piece(text[at : hit.start()], False), Piece(hit[0], True)]
            at = hit.end()
    pieces.append(Piece(text[at:end] + ("…" if end < len(text) else ""), False))
    return [piece for piece in pieces if piece.text]
