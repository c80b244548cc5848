"""`python -m ml` from outside: a pretrain, a finetune from it, its artifacts, and the same numbers again."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from ml import checkpoint, fresh
from ml import finetune as finetune_module
from ml import pretrain as pretrain_module
from ml import verify as verify_module
from ml.contract.events import EVENT, Artifact
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job
from ml.contract.leaks import LeakReport
from ml.errors import RunError
from ml.run import run
from ml.tokens import load_tokens
from ml.verify import Predictions, compare, predict_from_disk

ROOT = Path(__file__).resolve().parents[2]
Config = Callable[..., ExperimentConfig]
Rows = Callable[..., list[tuple[str, str, int]]]


def kinds(events: list) -> list[str]:
    """Types in order, neighbours of one type told once."""
    names = [event.type for event in events]
    return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]


@pytest.fixture
def inputs(workplace: SimpleNamespace, toy_rows: Rows) -> list[dict]:
    """A train file and a test file beside the job."""
    rows = toy_rows()
    return [
        workplace.put("train", "train.tsv", rows, workplace.train_layout),
        workplace.put("test", "test.tsv", [row[:2] for row in rows[:50]], workplace.test_layout),
    ]


def test_pretrain_then_finetune(workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config) -> None:
    config = tiny_config()
    code, events = workplace.run(workplace.job("pretrain", config, inputs[:1], threads=2), "pretrained")
    assert code == 0
    assert [name for name in kinds(events) if name != "log"] == [
        *("started", "audited", "data_read", "progress", "artifact", "finished")
    ]
    check_artifacts(workplace.folder / "pretrained", events)
    split = next(event.split_sha256 for event in events if event.type == "data_read")
    check_audit(workplace.folder / "pretrained", events)

    names = [event.name for event in events if isinstance(event, Artifact)]
    inputs += [workplace.put("pretrained", f"pretrained/{name}") for name in names]
    job = workplace.job("finetune", config, inputs, threads=2)
    (code, first), (code_again, again) = (workplace.run(job, out) for out in ("one", "two"))
    assert (code, code_again) == (0, 0), again[-1]
    order = kinds(first)
    assert order[:5] == ["started", "audited", "data_read", "progress", "evaluated"]
    assert all(0 < e.model_flops_utilization < 1 for e in first if e.type == "progress")
    assert set(order[5:-4]) <= {"progress", "evaluated"}
    assert order[-4:] == ["artifact", "verified", "scored", "finished"]
    assert [event.epoch for event in first if event.type == "evaluated"] == [1, 2, 3, 4, 5, 6]
    assert first[2].split_sha256 == split
    check_audit(workplace.folder / "one", first)
    assert first[-3].split == "train"
    assert first[-2].split == "valid"
    assert first[-2].scores.roc_auc > 0.7
    check_artifacts(workplace.folder / "one", first)
    check_predictions(workplace.folder / "one")
    assert [e.predictions_sha256 for e in first if e.type == "verified"] == [
        e.predictions_sha256 for e in again if e.type == "verified"
    ]
    for name in (
        "model.safetensors",
        "valid_predictions.tsv",
        "test_predictions.tsv",
        "split.json",
        "tokenizer.json",
        "leaks.json",
    ):
        assert (workplace.folder / "one" / name).read_bytes() == (workplace.folder / "two" / name).read_bytes(), name


def check_artifacts(out: Path, events: list) -> None:
    told = {event.name: event for event in events if isinstance(event, Artifact)}
    assert sorted(told) == sorted(path.name for path in out.iterdir())  # nothing left over
    assert set(checkpoint.FILES) <= set(told)
    for name, event in told.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == event.sha256
        assert (out / name).stat().st_size == event.size


def check_audit(out: Path, events: list) -> None:
    """Before the training, and the same in the file."""
    event = next(event for event in events if event.type == "audited")
    report = LeakReport.model_validate_json((out / "leaks.json").read_text())
    assert (event.verdict, report.verdict) == ("clean", "clean")
    assert [item.count for item in event.checks] == [item.count for item in report.checks]
    split = json.loads((out / "split.json").read_text())
    assert (report.valid_rows, report.train_rows + report.valid_rows) == (split["valid_rows"], split["rows"])


def check_predictions(out: Path) -> None:
    split = json.loads((out / "split.json").read_text())
    lines = [line.split("\t") for line in (out / "valid_predictions.tsv").read_text().splitlines()]
    assert [int(row) for row, _, _ in lines] == split["valid_row_numbers"]
    test = [float(line) for line in (out / "test_predictions.tsv").read_text().splitlines()]
    assert len(test) == 50
    assert all(0 < p < 1 for p in test)


def predictions(out: Path) -> list[float]:
    """Probabilities of the valid rows."""
    return [float(line.split("\t")[2]) for line in (out / "valid_predictions.tsv").read_text().splitlines()]


def start(job: Path, out: Path) -> list:
    """A run in this process: its events."""
    events: list = []
    run(job, out, events.append)
    return events


@pytest.fixture
def finished(workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config) -> SimpleNamespace:
    """A small finetune without pretrain, done."""
    config = tiny_config(pretrain=None, finetune={"num_train_epochs": 1})
    path = workplace.job("finetune", config, inputs)
    events = start(path, workplace.folder / "out")
    return SimpleNamespace(job=path, out=workplace.folder / "out", events=events, config=config)


def test_the_folder_alone_is_the_model(finished: SimpleNamespace, workplace: SimpleNamespace) -> None:
    """The checkpoint predicts the same again, opens in plain transformers, and notices a changed weight."""
    job = Job.model_validate_json(finished.job.read_bytes())
    ours = predict_from_disk(finished.out, workplace.folder, job)
    assert ours.valid_N.tolist() == predictions(finished.out)
    assert checkpoint.read_experiment(finished.out) == finished.config

    model = AutoModelForSequenceClassification.from_pretrained(finished.out).eval()
    tokenizer = AutoTokenizer.from_pretrained(finished.out)
    rows = [line.split("\t") for line in (workplace.folder / "test.tsv").read_text().splitlines()]
    with torch.inference_mode():
        for (a, b), expected in zip(rows[:10], ours.test_N[:10], strict=True):
            logits = model(**tokenizer(a, b, return_tensors="pt")).logits
            assert logits.softmax(-1)[0, 1].item() == pytest.approx(expected, abs=1e-5)

    weights = finished.out / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 0x40  # one bit of the last weight; safetensors itself does not notice
    weights.write_bytes(bytes(content))
    with pytest.raises(
        RunError, match=r"does not predict the same in a fresh process: \d+ of 80 valid rows differ, by"
    ):
        compare("valid", ours.valid_N, predict_from_disk(finished.out, workplace.folder, job).valid_N)
    weights.write_bytes(bytes(content[:-10]))
    with pytest.raises(RunError, match="does not load"):
        predict_from_disk(finished.out, workplace.folder, job)


def test_compare_counts_bits() -> None:
    ours = np.array([0.25, 0.5])
    compare("test", ours, ours.copy())
    with pytest.raises(RunError, match=r"1 of 2 test rows differ, by 5\.55e-17 at most"):
        compare("test", ours, np.array([np.nextafter(0.25, 1), 0.5]))
    with pytest.raises(RunError, match="predicts 1 test rows"):
        compare("test", ours, ours[:1])


def test_a_passing_difference_is_told_and_a_lasting_one_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is what both processes say; here the fresh one is played."""
    ours = Predictions(np.array([0.25, 0.5]), None)
    other = Predictions(np.array([np.nextafter(0.25, 1), 0.5]), None)

    def differs(times: int) -> Callable[..., None]:
        answers = iter([other] * times + [ours] * 9)
        return lambda _job, _folder, mine: compare("valid", mine.valid_N, next(answers).valid_N)

    told: list = []
    monkeypatch.setattr(verify_module, "_compare_with_fresh", differs(2))
    found, verified = verify_module.verify(tmp_path, tmp_path, lambda: ours, told.append)
    assert (found, verified.rows) == (ours, 2)
    assert [event.level for event in told] == ["warning", "warning"]
    assert "1 of 2 valid rows differ" in told[0].message
    assert "this process predicts as before" in told[0].message
    monkeypatch.setattr(verify_module, "_compare_with_fresh", differs(3))
    with pytest.raises(RunError, match="3 times in turn: its scores are not kept"):
        verify_module.verify(tmp_path, tmp_path, lambda: ours, told.append)


def test_weights_from_a_local_folder(
    workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config, finished: SimpleNamespace
) -> None:
    """A folder in Hugging Face layout gives sizes, vocabulary and weights; wrong folders are told apart."""
    weights = workplace.folder / "weights"
    weights.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(finished.out / name, weights / name)

    def job(**changes: object) -> Path:
        encoder = {"weights": str(weights), "hidden_size": 64, **changes}
        still = {"num_train_epochs": 1, "learning_rate": 1e-12}
        return workplace.job("finetune", tiny_config(pretrain=None, encoder=encoder, finetune=still), inputs)

    start(job(), workplace.folder / "again")
    assert json.loads((workplace.folder / "again" / "config.json").read_text())["hidden_size"] == 32
    ours, again = (predictions(folder) for folder in (finished.out, workplace.folder / "again"))
    assert again == pytest.approx(ours, abs=1e-6)  # it starts where the other ended, and next to no step was taken

    with pytest.raises(RunError, match=r"there is no folder of weights '/nowhere' .* check encoder.weights"):
        start(job(weights="/nowhere"), workplace.folder / "bad")
    (weights / "model.safetensors").rename(weights / "pytorch_model.bin")
    with pytest.raises(RunError, match=r"has no model\.safetensors: convert"):
        start(job(), workplace.folder / "bad")
    (weights / "config.json").write_text('{"model_type": "albert"}')
    (weights / "pytorch_model.bin").rename(weights / "model.safetensors")
    with pytest.raises(RunError, match="type 'albert'"):
        start(job(), workplace.folder / "bad")


def test_bad_inputs(workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config, toy_rows: Rows) -> None:
    """Each is told in one sentence with the offending value."""

    def refused(match: str, *changed: dict, kind: str = "finetune", **config: object) -> None:
        job = workplace.job(kind, tiny_config(**{"pretrain": None, **config}), list(changed or inputs))
        with pytest.raises(RunError, match=match):
            start(job, workplace.folder / "out")

    train = inputs[0]
    layout = workplace.train_layout
    refused("train.tsv has sha256 .* but the job expects 0000", {**train, "sha256": "0" * 64})
    refused("gone.tsv is not at", {**train, "path": "gone.tsv", "name": "gone.tsv"})
    refused("train.tsv has 400 good rows, but the job was made for 399", {**train, "rows": 399})
    refused("comes without a layout", {**train, "layout": None})
    refused("names 0 train files", inputs[1])
    refused("brings no pretrained files: run its pretrain first", pretrain={"num_train_epochs": 1})
    refused("its config has no pretrain", kind="pretrain")
    refused("pretrain.unlabelled asks for the unlabelled file", kind="pretrain", pretrain={"unlabelled": True})
    refused("soft_labels_from names experiment 3, but the job brings 0", finetune={"soft_labels_from": 3})
    ones = workplace.put("train", "ones.tsv", [(a, b, 1) for a, b, _ in toy_rows(50)], layout)
    refused("every label of ones.tsv is 1", ones)
    bad = [*toy_rows(50), ("1 2", "3 4", "yes")]
    broken = {**workplace.put("train", "broken.tsv", bad, layout), "rows": 50}
    refused("broken.tsv line 51: .*agree to leave its bad rows out", broken)
    skipped = {**broken, "layout": {**layout.model_dump(), "skip_bad_rows": True}}
    job = workplace.job("finetune", tiny_config(pretrain=None, finetune={"num_train_epochs": 0.1}), [skipped])
    assert start(job, workplace.folder / "out")[-1].type == "finished"
    with pytest.raises(RunError, match="is not a job: kind"):
        start(workplace.job("sing", tiny_config(), inputs), workplace.folder / "out")


def test_failure_from_outside(workplace: SimpleNamespace) -> None:
    code, events = workplace.run(workplace.folder / "none.json", "out")
    assert (code, kinds(events)) == (1, ["failed"])
    assert "none.json cannot be read (No such file or directory)" in events[0].reason
    assert "Traceback" in events[0].detail


def test_a_fork_answers_as_a_program_does(
    finished: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch for GPUs starts a program for each question."""
    answers = {}
    for forks in (True, False):
        monkeypatch.setattr(fresh, "_forks", lambda forks=forks: forks)
        scratch = tmp_path / str(forks)
        scratch.mkdir()
        assert fresh.ask(finished.out, finished.job, scratch) == fresh.Answer(0, "")
        assert np.load(scratch / "valid.npy").tolist() == predictions(finished.out)
        answers[forks] = fresh.ask(finished.out, finished.job, tmp_path / "nowhere")
    assert answers[True] == answers[False]
    assert answers[True].code == 1
    assert answers[True].error.startswith("FileNotFoundError: [Errno 2] No such file or directory: ")


@pytest.mark.parametrize("generation", [1, 2], ids=["the one that waits", "its fork that predicts"])
def test_a_killed_fresh_process_is_bad_luck(
    workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config, generation: int
) -> None:
    """It ends with `crashed`, after which a run is tried again: its model is not to blame."""
    job = workplace.job("finetune", tiny_config(pretrain=None), inputs)
    command = [sys.executable, "-m", "ml", str(job), str(workplace.folder / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as trainer:
        line = [psutil.Process(trainer.pid)]
        while len(line) <= generation and trainer.poll() is None:
            line += line[-1].children()
        line[-1].kill()
        assert trainer.stdout
        events = [EVENT.validate_json(line) for line in trainer.stdout]
        assert trainer.wait(timeout=60) == 1
    assert events[-1].type == "crashed"
    by = " by SIGKILL" if generation == 2 else ""
    assert events[-1].reason == f"the process that loads the saved model again was killed{by}"


@pytest.mark.parametrize("predicting", [False, True])
def test_no_fresh_process_outlives_a_trainer_that_is_killed(
    workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config, predicting: bool
) -> None:
    job = workplace.job("finetune", tiny_config(pretrain=None), inputs)
    command = [sys.executable, "-m", "ml", str(job), str(workplace.folder / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as trainer:
        below: list[psutil.Process] = []
        while len(below) <= predicting and trainer.poll() is None:
            below = psutil.Process(trainer.pid).children(recursive=True)
        trainer.kill()
        assert psutil.wait_procs(below, timeout=30)[1] == []


def test_it_dies_with_its_parent(workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config) -> None:
    """The worker's end closes our stdin."""
    job = workplace.job("pretrain", tiny_config(pretrain={"num_train_epochs": 1000}), inputs)
    command = [sys.executable, "-m", "ml", str(job), str(workplace.folder / "out"), "--die-with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdin
        assert child.stdout
        while '"progress"' not in child.stdout.readline():
            assert child.poll() is None
        child.stdin.close()
        rest = [EVENT.validate_json(line) for line in child.stdout]
        assert child.wait(timeout=10) == 128 + signal.SIGTERM
    assert [event.type for event in rest[-2:]] == ["checkpointed", "returned"]
    assert (workplace.folder / "out" / rest[-2].path).stat().st_size == rest[-2].size


def test_masked_lm_comes_back(workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config) -> None:
    """The pretrain's weights load into both models; the head is tied to the embeddings again."""
    job = workplace.job("pretrain", tiny_config(pretrain={"num_train_epochs": 0.1}), inputs[:1])
    start(job, workplace.folder / "out")
    model = AutoModelForMaskedLM.from_pretrained(workplace.folder / "out")
    tokens = load_tokens(workplace.folder / "out")
    decoder = model.get_parameter("cls.predictions.decoder.weight")
    assert decoder is model.get_parameter("bert.embeddings.word_embeddings.weight")
    assert len(decoder) == tokens.vocab_size
    with pytest.raises(RunError, match=r"does not fit its config\.json: .*pooler"):
        checkpoint.load_classifier(workplace.folder / "out", torch.device("cpu"))


@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    workplace: SimpleNamespace, inputs: list[dict], tiny_config: Config, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Stopped in the middle, started again in the same folder: every file as if it had run through."""
    phases = {"pretrain": {"lookahead_steps": 3, "swap": True}, "finetune": {"num_train_epochs": 2, "averaging": "ema"}}
    config = tiny_config(**{**phases, **({} if kind == "pretrain" else {"pretrain": None})}, augment={"swap": "random"})
    job = workplace.job(kind, config, inputs, checkpoint_seconds=0)
    whole, again = workplace.folder / "whole", workplace.folder / "again"
    start(job, whole)

    module = pretrain_module.MaskedLanguage if kind == "pretrain" else finetune_module.LabelObjective
    loss, calls = module.loss, []

    def dies(self: object, batch: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(self, batch)

    with monkeypatch.context() as torn:
        torn.setattr(module, "loss", dies)
        with pytest.raises(KeyboardInterrupt):
            start(job, again)
    assert [path.name for path in again.glob("checkpoint-7.*")] != []
    events = start(job, again)
    assert [event.step for event in events if event.type == "resumed"] == [7]
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in whole.iterdir())
    for path in sorted(whole.iterdir()):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
