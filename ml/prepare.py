"""From files to what a stage trains on: rows, split, augmentation, vocabulary, token ids. Called by run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml import kept_corpus, parallel
from ml.augment import Augmented, augment
from ml.checkpoint import read_split_sha256, write_text
from ml.contract.events import DataRead, Event
from ml.contract.experiment import AugmentConfig
from ml.contract.job import Job
from ml.contract.leaks import Groups
from ml.encoded import EncodedPairs
from ml.errors import RunError
from ml.finetune import Lessons
from ml.kept_corpus import Ready, key_of, uses_augmented
from ml.pairs import Pairs, check_file, read_test, read_train, read_unlabelled
from ml.predict import PairsToScore
from ml.pretrain import Corpus
from ml.split import Split, make_split, shortfall
from ml.split_audit import audit_split
from ml.teller import Tell, log
from ml.tokens import MOST_UNKNOWN, Tokens, build_tokens, load_tokens, public_tokens
from ml.vocabulary import find_unit
from ml.word_marks import mark_words


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a stage needs. `pairs`: the labelled rows that the split is of; `learnt`: the training part, augmented.
    `start`: a folder of weights to begin with, or None. `reports`: files for the page."""

    pairs: Pairs
    split: Split
    learnt: Pairs
    tokens: Tokens
    start: Path | None
    test: Pairs | None
    unlabelled: Pairs | None
    reports: list[str]


def prepare(folder: Path, job: Job, out: Path, tell: Tell) -> Prepared:
    """Read the inputs beside job.json, hold out valid, augment, find or build the vocabulary; tell DataRead.

    Raises RunError for bad inputs, and for a config that asks for a pretrain which the job does not bring.
    """
    start = _start(folder, job)
    pairs, test, unlabelled = read_train(folder, job), read_test(folder, job), read_unlabelled(folder, job)
    made: Augmented | None = None
    if job.config.augment.augment_before_split:
        made = augment(pairs, job.config.augment, job.config.seed)
        pairs = made.pairs
    split = split_of(pairs, job)
    learnt = pairs.only(split.train_rows)
    if made is None:
        used = job.kind == "finetune" or uses_augmented(job)
        made = augment(learnt, job.config.augment if used else AugmentConfig(), job.config.seed)
        learnt = made.pairs if used else learnt
    data = Prepared(
        pairs, split, learnt, _tokens(start, job, pairs, split, test, unlabelled), start, test, unlabelled, []
    )
    write_text(out / "augment.json", json.dumps(made.report, ensure_ascii=False, indent=1))
    data.reports.append("augment.json")
    _warn(data, made, job, tell)
    if not parallel.rank():
        data.reports.extend(audit_split(pairs, learnt, split, test, folder, job, out, tell))
    return data


def split_of(pairs: Pairs, job: Job) -> Split:
    """The job's split. A pretrain that folds share holds nothing out: it reads texts, never labels."""
    data = job.config.data
    if job.kind == "pretrain" and data.folds:
        data = data.model_copy(update={"folds": 0, "full_data": True})
    return make_split(pairs, data, job.fold)


def ready_corpus(folder: Path, job: Job, out: Path, tell: Tell) -> Ready:
    """A pretrain's data: as an earlier run kept it in job.data_cache, or made, and kept there for the next.

    Of several processes the first makes it and the others wait. Raises RunError as prepare() does.
    """
    cache = Path(job.data_cache) if job.data_cache else None
    if cache is None:
        return _made(folder, job, out, tell)
    if parallel.rank():
        parallel.from_first(None)
    key = key_of(job)
    ready = kept_corpus.load(cache, key, job)
    if ready is not None:
        log(tell, f"{len(ready.corpus)} tokenised rows of an earlier run on the same data are used")
        for name, text in ready.reports.items():
            write_text(out / name, text)
        for event in ready.told:
            tell(event)
    else:
        ready = _made(folder, job, out, tell)
        if not parallel.rank():
            ready = _kept(cache, key, job, ready, tell)
    if not parallel.rank():
        parallel.from_first(None)
    return ready


def _kept(cache: Path, key: str, job: Job, ready: Ready, tell: Tell) -> Ready:
    """The same, mapped from the disk, so that the memory it was made in is free for the training."""
    try:
        kept_corpus.keep(cache, key, ready)
    except OSError as error:
        log(tell, f"tokenised data can't be kept in {cache} ({error}): the next run divides the texts again", "warning")
        return ready
    return kept_corpus.load(cache, key, job) or ready


def _made(folder: Path, job: Job, out: Path, tell: Tell) -> Ready:
    told: list[Event] = []

    def noted(event: Event) -> None:
        told.append(event)
        tell(event)

    data = prepare(folder, job, out, noted)
    made = corpus(data, job, out, noted)
    reports = {name: (out / name).read_text(encoding="utf-8") for name in data.reports}
    return Ready(made, data.tokens, data.split, reports, told)


def corpus(data: Prepared, job: Job, out: Path, tell: Tell) -> Corpus:
    """What a pretrain reads, as its config says: which files, pairs or sentences, words marked for whole-word masks."""
    phase = job.config.pretrain
    if phase is None:
        raise RunError("the job is a pretrain, but its config has no pretrain: set pretrain, or make it a finetune")
    parts = [data.learnt.only(np.flatnonzero(data.learnt.labels_N == 1)) if phase.positives_only else data.learnt]
    if phase.unlabelled:
        parts.append(_there(data.unlabelled, "pretrain.unlabelled", "unlabelled"))
    if phase.test_texts:
        parts.append(_there(data.test, "pretrain.test_texts", "test"))
    a, b = [text for part in parts for text in part.a], [text for part in parts for text in part.b]
    sentences = list(dict.fromkeys(a + b)) if phase.examples != "pairs" else []
    if phase.examples == "sentences":
        a, b = [], []
    both = Pairs(a, b, np.empty(0, np.int8))
    turns = phase.swap or (job.config.encoder.model_type == "albert" and phase.sentence_order)
    encoded, turned = data.tokens.encode_both_ways(both, turned=turns)
    alone = data.tokens.encode_sentences(sentences)
    encoded, turned = encoded.joined(alone), None if turned is None else turned.joined(alone)
    if phase.masking == "whole_word":
        encoded, turned = _with_words(data, _texts(both, sentences), encoded, turned, job, out)
    learnt = data.tokens.encode(data.learnt) if phase.positives_only or not a else encoded.first(len(data.learnt))
    tell(_data_read(data, learnt, len(encoded), out))
    rows = encoded if turned is None else encoded.joined(turned)
    return Corpus(rows, np.arange(len(encoded)) < len(both), turns=turned is not None)


def _texts(pairs: Pairs, sentences: list[str]) -> list[tuple[str, ...]]:
    """The sentences of each row, as they are encoded."""
    return [*zip(pairs.a, pairs.b, strict=True), *((text,) for text in sentences)]


def _with_words(
    data: Prepared,
    texts: list[tuple[str, ...]],
    encoded: EncodedPairs,
    turned: EncodedPairs | None,
    job: Job,
    out: Path,
) -> tuple[EncodedPairs, EncodedPairs | None]:
    assert job.config.pretrain is not None  # noqa: S101 - corpus() looked
    marked, report = mark_words(encoded, texts, data.tokens, job.config.pretrain)
    write_text(out / "words.json", json.dumps(report.content, ensure_ascii=False, indent=1))
    data.reports.append("words.json")
    if turned is None:
        return marked, None
    other, _ = mark_words(turned, [tuple(reversed(row)) for row in texts], data.tokens, job.config.pretrain)
    return marked, other


def _there(pairs: Pairs | None, field: str, role: str) -> Pairs:
    if pairs is None:
        raise RunError(f"{field} asks for the {role} file, and the job brings none: upload one, or switch it off")
    return pairs


def lessons(data: Prepared, folder: Path, job: Job, out: Path, tell: Tell) -> Lessons:
    """What a finetune learns from: the augmented training part, turned at random if asked for, soft labels if any."""
    encoded, turned = data.tokens.encode_both_ways(data.learnt, turned=job.config.augment.swap == "random")
    made = Lessons(
        encoded,
        data.learnt.labels_N,
        turned,
        _soft_labels(data, folder, job),
    )
    tell(_data_read(data, made.encoded, len(made.encoded), out))
    cut = int(np.sum(made.encoded.lengths_N >= data.tokens.max_length))
    if cut > 0.05 * len(made.encoded):
        log(
            tell,
            f"{cut} of {len(made.encoded)} training pairs fill max_length and may be cut: raise max_length",
            "warning",
        )
    return made


def to_score(pairs: Pairs, tokens: Tokens, job: Job) -> PairsToScore:
    """Pairs as they are scored: turned, too, when swap_at_test is on."""
    return PairsToScore(*tokens.encode_both_ways(pairs, turned=job.config.finetune.swap_at_test))


def _soft_labels(data: Prepared, folder: Path, job: Job) -> npt.NDArray[np.float64] | None:
    """The teacher's out-of-fold probability of each row that is learnt; NaN for rows that augmentation made."""
    if not job.config.finetune.soft_labels_from:
        return None
    items = job.inputs_of("teacher")
    if len(items) != 1:
        raise RunError(
            f"finetune.soft_labels_from names experiment {job.config.finetune.soft_labels_from}, but the job brings "
            f"{len(items)} files of its predictions: give its valid_predictions.tsv"
        )
    check_file(folder, items[0])
    by_row = np.full(len(data.pairs), np.nan)
    for number, line in enumerate((folder / items[0].path).read_text(encoding="utf-8").splitlines(), start=1):
        row, label, probability = line.split("\t")
        if int(row) >= len(data.pairs) or data.pairs.labels_N[int(row)] != int(label):
            raise RunError(
                f"{items[0].name} line {number}: row {row} with label {label} is not in this train file: "
                "the teacher was trained on another one"
            )
        by_row[int(row)] = float(probability)
    taught = by_row[data.split.train_rows]
    if np.isnan(taught).any():
        raise RunError(
            f"experiment {job.config.finetune.soft_labels_from} has predictions for {np.sum(~np.isnan(taught))} of "
            f"{len(taught)} training rows: take an experiment with folds, which predicts every row"
        )
    soft = np.full(len(data.learnt), np.nan)
    soft[: len(taught)] = taught
    return soft


def weights_of(job: Job) -> Path | None:
    """The folder of public weights that the config names."""
    return Path(job.config.encoder.weights) if job.config.encoder.weights else None


def _start(folder: Path, job: Job) -> Path | None:
    """The folder of weights to begin with: the pretrain's, or the config's."""
    pretrained = job.inputs_of("pretrained") if job.kind == "finetune" else ()
    if not pretrained:
        if job.kind == "finetune" and job.config.pretrain is not None:
            raise RunError(
                "the config asks for pretraining, but the job brings no pretrained files: run its pretrain first, "
                "or set pretrain to null"
            )
        return weights_of(job)
    for item in pretrained:
        check_file(folder, item)
    places = {(folder / item.path).parent for item in pretrained}
    if len(places) > 1:
        raise RunError(f"the pretrained files lie in {len(places)} folders: put them all into one")
    return places.pop()


def _tokens(
    start: Path | None, job: Job, pairs: Pairs, split: Split, test: Pairs | None, unlabelled: Pairs | None
) -> Tokens:
    """The vocabulary: of a pretrain, of public weights, or built from what training may read."""
    max_length = job.config.data.max_length
    if start is not None and job.inputs_of("pretrained"):
        return load_tokens(start, max_length)
    if start is not None and not start.is_dir():
        raise RunError(f"there is no folder of weights {str(start)!r} on this machine: check encoder.weights")
    if start is not None and job.config.encoder.embeddings == "own":
        return public_tokens(start, job.config.tokens, pairs, max_length)
    phase = job.config.pretrain if job.kind == "pretrain" else None
    parts = [pairs.only(split.train_rows)]
    parts += [unlabelled] if phase and phase.unlabelled and unlabelled else []
    parts += [test] if phase and phase.test_texts and test else []
    texts = [text for part in parts for side in (part.a, part.b) for text in side]
    unit = find_unit(job.config.tokens.unit, pairs.a + pairs.b)
    return build_tokens(job.config.tokens, texts, unit, max_length)


def _data_read(data: Prepared, learnt: EncodedPairs, trained_rows: int, out: Path) -> DataRead:
    valid = data.pairs.only(data.split.valid_rows)
    parts = [learnt, *(data.tokens.encode(part) for part in (valid, data.test) if part is not None)]
    made = json.loads((out / "augment.json").read_text(encoding="utf-8"))
    return DataRead(
        unit=data.tokens.unit,
        train_rows=len(data.split.train_rows),
        valid_rows=len(data.split.valid_rows),
        test_rows=0 if data.test is None else len(data.test),
        vocab_size=data.tokens.vocab_size,
        unknown_rate=data.tokens.unknown_rate(*parts),
        components=data.split.components,
        largest_component_rows=data.split.largest_component_rows,
        trained_rows=trained_rows,
        contradictions=len(made["contradictions"]),
        split_sha256=data.split.sha256,
    )


def _joined(found: Groups) -> tuple[str, Literal["info", "warning"]]:
    """What near twins make of the components, and how loud to say it."""
    told = (
        f"near twins join {found.components} components into {found.groups} groups; the largest has {found.largest} of "
        f"{found.rows} rows ({found.largest_component} before)"
    )
    return (f"{told}: a giant, which stays in train", "warning") if found.giant else (told, "info")


def _warn(data: Prepared, made: Augmented, job: Job, tell: Tell) -> None:
    """Say what a person should know before believing the scores."""
    for mark, why in job.config.marks.items():
        log(tell, f"{mark}: {why}", "warning")
    if data.split.groups is not None:
        log(tell, *_joined(data.split.groups))
    small_valid = shortfall(data.split)
    if small_valid:
        log(tell, small_valid, "warning")
    if made.contradictions:
        first = made.contradictions[0]
        log(
            tell,
            f"{len(made.contradictions)} labels contradict the positives around them, for example {first.a!r} and "
            f"{first.b!r}; augment.json lists them, and their components are never multiplied",
            "warning",
        )
    if data.test is not None:
        unknown = data.tokens.unknown_rate(data.tokens.encode(data.test))
        if unknown > MOST_UNKNOWN:
            log(
                tell,
                f"{unknown:.0%} of the test file's tokens are not in the vocabulary: is it of this contest?",
                "warning",
            )
    theirs = data.start and not job.config.data.folds and read_split_sha256(data.start)
    if theirs and theirs != data.split.sha256:
        log(tell, "the weights to start from have seen another split: valid sentences may be among them", "warning")
