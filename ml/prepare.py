"""From files to token ids: rows, split, vocabulary. Called by run; pretrain and finetune go the same way."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.checkpoint import read_split_sha256
from ml.contract.events import DataRead
from ml.contract.job import Job
from ml.errors import RunError
from ml.pairs import Pairs, check_file, read_test, read_train
from ml.split import Split, make_split, shortfall
from ml.teller import Tell, log
from ml.tokens import MOST_UNKNOWN, EncodedPairs, Tokens, build_tokens, load_tokens, public_tokens


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a stage needs. `start` is a folder of weights to begin with, or None."""

    pairs: Pairs
    split: Split
    tokens: Tokens
    start: Path | None
    train: EncodedPairs
    valid: EncodedPairs
    test: EncodedPairs | None


def prepare(folder: Path, job: Job, tell: Tell) -> Prepared:
    """Read the inputs beside job.json, hold out valid, find or build the vocabulary, encode; tell DataRead.

    Raises RunError for bad inputs, and for a config that asks for a pretrain which the job does not bring.
    """
    start = _start(folder, job)
    pairs = read_train(folder, job)
    test = read_test(folder, job)
    split = make_split(pairs, job.config.data.valid_fraction, job.config.seed)
    tokens = _tokens(start, job, pairs, split)
    prepared = Prepared(
        pairs=pairs,
        split=split,
        tokens=tokens,
        start=start,
        train=tokens.encode(pairs, split.train_rows),
        valid=tokens.encode(pairs, split.valid_rows),
        test=None if test is None else tokens.encode(test),
    )
    tell(_data_read(prepared))
    _warn(prepared, tell)
    return prepared


def _start(folder: Path, job: Job) -> Path | None:
    """The folder of weights to begin with: the pretrain's, or the config's."""
    pretrained = job.inputs_of("pretrained") if job.kind == "finetune" else ()
    if not pretrained:
        if job.kind == "finetune" and job.config.pretrain is not None:
            raise RunError(
                "the config asks for pretraining, but the job brings no pretrained files: run its pretrain first, "
                "or set pretrain to null"
            )
        return Path(job.config.encoder.weights) if job.config.encoder.weights else None
    for item in pretrained:
        check_file(folder, item)
    places = {(folder / item.path).parent for item in pretrained}
    if len(places) > 1:
        raise RunError(f"the pretrained files lie in {len(places)} folders: put them all into one")
    return places.pop()


def _tokens(start: Path | None, job: Job, pairs: Pairs, split: Split) -> Tokens:
    max_length = job.config.data.max_length
    if start is None:
        return build_tokens(job.config.tokens, pairs, split.train_rows, max_length)
    if job.inputs_of("pretrained"):
        return load_tokens(start, max_length)
    if not start.is_dir():
        raise RunError(f"there is no folder of weights {str(start)!r} on this machine: check encoder.weights")
    return public_tokens(start, job.config.tokens, pairs, max_length)


def _data_read(prepared: Prepared) -> DataRead:
    parts = [part for part in (prepared.train, prepared.valid, prepared.test) if part is not None]
    return DataRead(
        unit=prepared.tokens.unit,
        train_rows=len(prepared.train),
        valid_rows=len(prepared.valid),
        test_rows=0 if prepared.test is None else len(prepared.test),
        vocab_size=prepared.tokens.vocab_size,
        unknown_rate=prepared.tokens.unknown_rate(*parts),
        components=prepared.split.components,
        largest_component_rows=prepared.split.largest_component_rows,
        split_sha256=prepared.split.sha256,
    )


def _warn(prepared: Prepared, tell: Tell) -> None:
    """Say what a person should know before believing the scores."""
    small_valid = shortfall(prepared.split)
    if small_valid:
        log(tell, small_valid, "warning")
    if prepared.test is not None:
        unknown = prepared.tokens.unknown_rate(prepared.test)
        if unknown > MOST_UNKNOWN:
            log(
                tell,
                f"{unknown:.0%} of the test file's tokens are not in the vocabulary: is it of this contest?",
                "warning",
            )
    theirs = prepared.start and read_split_sha256(prepared.start)
    if theirs and theirs != prepared.split.sha256:
        log(tell, "the weights to start from have seen another split: valid sentences may be among them", "warning")
    cut = int(np.sum(prepared.train.lengths_N >= prepared.tokens.max_length))
    if cut > 0.05 * len(prepared.train):
        log(
            tell,
            f"{cut} of {len(prepared.train)} training pairs fill max_length and may be cut: raise max_length",
            "warning",
        )
