"""The words that a pretrain masked as wholes: mined from the ids, or found by jieba. Called by the data page and REST.

A pretrain with masking whole_word leaves them in words.json.
"""

import logging
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from app.contests.marking import contains
from app.runs import artifact_queries, queries
from app.runs.models import Artifact
from app.storage import Storage

log = logging.getLogger(__name__)

WORDS = "words.json"
PAGE = 50
#: the newest runs that have words, to choose from
CHOICE = 30


class Word(BaseModel):
    """A word of two tokens or more, `##` before each that continues it. Both scores in nats; jieba has none."""

    word: str
    count: int
    mutual_information: float | None = None
    boundary_entropy: float | None = None


class _WordFile(BaseModel):
    source: str
    words: int
    share_of_tokens_in_words: float
    most_frequent: list[Word]


@dataclass(frozen=True)
class Words:
    """`rows` are the shown ones of `found`; the file lists the `listed` most frequent of `total` words. `share`: of the
    tokens that stand in a word. `runs`: those with words, newest first."""

    run_id: int
    experiment_ids: list[int]
    source: str
    total: int
    listed: int
    share: float
    found: int
    rows: list[Word]
    runs: list[int]


def words(
    session: Session,
    storage: Storage,
    contest_id: int,
    *,
    run_id: int | None = None,
    search: str = "",
    offset: int = 0,
    limit: int = PAGE,
) -> Words | None:
    """Of this run, or of the newest that has them; None when it, or none, has any."""
    files = artifact_queries.newest_named(session, contest_id, WORDS, CHOICE)
    for file in files:
        read = _read(storage, file) if run_id in (None, file.run_id) else None
        if read is not None:
            return _found(session, file, read, [item.run_id for item in files], search, slice(offset, offset + limit))
    return None


def _found(session: Session, file: Artifact, read: _WordFile, runs: list[int], search: str, shown: slice) -> Words:
    found = [word for word in read.most_frequent if not search or _has(word, search)]
    return Words(
        run_id=file.run_id,
        experiment_ids=queries.experiment_ids_of(session, file.run_id),
        source=read.source,
        total=read.words,
        listed=len(read.most_frequent),
        share=read.share_of_tokens_in_words,
        found=len(found),
        rows=found[shown],
        runs=runs,
    )


def _has(word: Word, search: str) -> bool:
    """Whole ids in their order, or letters of a Chinese word."""
    plain = word.word.replace("##", "")
    letters = "".join(search.split())
    return contains(plain, search, ids=True) or (
        not letters.isdigit() and contains(plain.replace(" ", ""), letters, ids=False)
    )


def _read(storage: Storage, file: Artifact) -> _WordFile | None:
    """None for a file that is not as a pretrain writes it."""
    try:
        return _WordFile.model_validate_json(storage.existing(file.sha256, file.name).read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("%s of run %s can't be read: %s", WORDS, file.run_id, error)
        return None
