"""Tokenised data is made once and opened by the next pretrain of the same data, with the same numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ml import kept_corpus
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job
from ml.kept_corpus import key_of
from ml.prepare import ready_corpus

Config = Callable[..., ExperimentConfig]
Rows = Callable[..., list[tuple[str, str, int]]]
EVERYTHING = {
    "pretrain": {"masking": "whole_word", "swap": True, "examples": "both", "word_min_count": 2, "word_min_pmi": 0.0},
}


@pytest.fixture
def job_of(workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config) -> Callable[..., Job]:
    """A pretrain's job that keeps its data in `kept`, with changes of its config."""
    train = workplace.put("train", "train.tsv", toy_rows(200), workplace.train_layout)

    def make(**changes: Any) -> Job:
        path = workplace.job("pretrain", tiny_config(**changes), [train], data_cache=str(workplace.folder / "kept"))
        return Job.model_validate_json(path.read_bytes())

    return make


def read(job: Job, folder: Path, out: str) -> tuple[kept_corpus.Ready, list[str]]:
    """The data, and what was told as JSON."""
    (folder / out).mkdir()
    told: list[str] = []
    return ready_corpus(folder, job, folder / out, lambda event: told.append(event.model_dump_json())), told


def test_the_second_pretrain_opens_what_the_first_made(workplace: SimpleNamespace, job_of: Callable[..., Job]) -> None:
    job = job_of(**EVERYTHING)
    plain, _ = read(job.model_copy(update={"data_cache": None}), workplace.folder, "plain")
    first, told = read(job, workplace.folder, "first")
    (workplace.folder / "train.tsv").unlink()  # nobody reads it again
    second, told_again = read(job, workplace.folder, "second")
    for other in (first, second):
        for name in ("flat_T", "offsets", "second_N", "begins_T"):
            np.testing.assert_array_equal(getattr(plain.corpus.encoded, name), getattr(other.corpus.encoded, name))
        np.testing.assert_array_equal(plain.corpus.is_pair_N, other.corpus.is_pair_N)
        assert (other.corpus.turns, len(other.corpus)) == (True, len(plain.corpus))
        assert other.split.sha256 == plain.split.sha256
        assert other.split.data == plain.split.data
        assert other.tokens.tokenizer.to_str() == plain.tokens.tokenizer.to_str()
    assert isinstance(second.corpus.encoded.flat_T.base, np.memmap)
    assert "tokenised rows of an earlier run" in told_again[0]
    assert told_again[1:] == told
    for name in ("augment.json", "words.json"):
        kept = (workplace.folder / "second" / name).read_text("utf-8")
        assert kept == (workplace.folder / "plain" / name).read_text("utf-8")


def test_a_run_from_kept_data_ends_with_the_same_weights(
    workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config
) -> None:
    train = workplace.put("train", "train.tsv", toy_rows(200), workplace.train_layout)
    hashes = []
    for out in ("one", "two"):
        path = workplace.job("pretrain", tiny_config(), [train], data_cache=str(workplace.folder / "kept"))
        code, events = workplace.run(path, out)
        assert code == 0
        hashes.append({event.name: event.sha256 for event in events if event.type == "artifact"})
    assert hashes[0] == hashes[1]
    assert len(list((workplace.folder / "kept").iterdir())) == 1


def test_the_key_is_of_the_data_alone(job_of: Callable[..., Job]) -> None:
    same = key_of(job_of())
    unread = [
        {"pretrain": {"learning_rate": 1e-3, "num_train_epochs": 7}},
        {"seed": 5},
        {"encoder": {"hidden_size": 64}},
        {"augment": {"closure_positives": True}},
        {"finetune": {"head": "mean"}},
    ]
    assert {key_of(job_of(**change)) for change in unread} == {same}
    read_by = [
        {"data": {"max_length": 16}},
        {"data": {"split_seed": 9}},
        {"tokens": {"min_count": 7}},
        {"pretrain": {"swap": True}},
        {"encoder": {"model_type": "albert"}},
        {"pretrain": {"augmented": True}, "augment": {"closure_positives": True}},
        {"pretrain": {"augmented": True}, "augment": {"closure_positives": True}, "seed": 5},
    ]
    assert len({same, *(key_of(job_of(**change)) for change in read_by)}) == len(read_by) + 1


def test_other_bytes_are_other_data(workplace: SimpleNamespace, job_of: Callable[..., Job], toy_rows: Rows) -> None:
    job = job_of()
    other = workplace.put("train", "other.tsv", toy_rows(100), workplace.train_layout)
    changed = json.loads(job.model_dump_json()) | {"inputs": [other]}
    assert key_of(Job.model_validate(changed)) != key_of(job)


@pytest.mark.parametrize("harm", ["cut", "gone", "nonsense"])
def test_a_damaged_folder_is_made_anew(workplace: SimpleNamespace, job_of: Callable[..., Job], harm: str) -> None:
    job = job_of()
    first, _ = read(job, workplace.folder, "first")
    (place,) = (workplace.folder / "kept").iterdir()
    if harm == "cut":
        content = (place / "ids.npy").read_bytes()
        (place / "ids.npy").unlink()  # mapped by `first`: cutting the same file would end this process
        (place / "ids.npy").write_bytes(content[: len(content) // 2])
    elif harm == "gone":
        (place / "tokenizer.json").unlink()
    else:
        (place / "facts.json").write_text("{")
    again, told = read(job, workplace.folder, "again")
    np.testing.assert_array_equal(first.corpus.encoded.flat_T, again.corpus.encoded.flat_T)
    assert "earlier run" not in told[0]
    assert kept_corpus.load(workplace.folder / "kept", place.name, job) is not None


def test_a_full_disk_costs_a_warning_and_not_the_run(
    workplace: SimpleNamespace, job_of: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _array: Any, **_: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    ready, told = read(job_of(), workplace.folder, "out")
    assert len(ready.corpus) > 100
    assert "can't be kept" in told[-1]
    assert "No space left on device" in told[-1]
    assert list((workplace.folder / "kept").iterdir()) == []
