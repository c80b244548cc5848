"""Which rows of a pair file hang together, kept for this process. Called by what counts draws."""

from functools import lru_cache
from pathlib import Path

from app.contests.models import ContestFile
from app.contests.sentences import Ints, component_of_rows, read_sentences
from app.storage import Storage
from ml.contract.pair_file import PairFileLayout


def components_of(storage: Storage, file: ContestFile) -> Ints:
    """The component of each good row of a train file, shape (rows,): as ml.split has it."""
    return _of(storage.existing(file.sha256, file.name), PairFileLayout.model_validate(file.layout).model_dump_json())


@lru_cache(maxsize=8)  # a file never changes: its path is its hash
def _of(path: Path, layout: str) -> Ints:
    found = component_of_rows(read_sentences(path, PairFileLayout.model_validate_json(layout), "train"))
    found.flags.writeable = False
    return found
