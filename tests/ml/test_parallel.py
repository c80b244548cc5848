"""Two processes that share each batch by torchrun, DDP and gloo: the losses of one process with the same batch."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ml import parallel
from ml.contract.events import EVENT, Evaluated, Progress
from ml.contract.experiment import ExperimentConfig
from ml.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
Config = Callable[..., ExperimentConfig]
Rows = Callable[..., list[tuple[str, str, int]]]
STEPS = 12
#: each draws its own dropout, so there is none; and float32, or rounding would be larger than what is looked for
SAME = {"max_steps": STEPS, "precision": "float32", "batch_size": 36}
STILL = {"hidden_dropout_prob": 0.0}
KINDS: dict[str, tuple[str, dict]] = {
    "masked language, n-grams, turned at random": (
        "pretrain",
        {"encoder": STILL, "pretrain": {**SAME, "masking": "ngram", "swap": True, "adversarial": "pgd"}},
    ),
    "electra": ("pretrain", {"encoder": {**STILL, "model_type": "electra"}, "pretrain": SAME}),
    "albert, sentences and their order": (
        "pretrain",
        {"encoder": {**STILL, "model_type": "albert"}, "pretrain": {**SAME, "examples": "both"}},
    ),
    "labels, weights of classes, masked tokens beside them": (
        "finetune",
        {
            "encoder": STILL,
            "pretrain": None,
            "finetune": {
                **SAME,
                "classifier_dropout": 0.0,
                "class_weight": "train_prior",
                "mlm_weight": 0.5,
                "adversarial": "fgm",
                "r_drop_alpha": 1.0,
                "averaging": "ema",
            },
        },
    ),
}


#: this one is started as a worker does, by `python -m ml`, which starts torchrun
BY_TORCHRUN = "labels, weights of classes, masked tokens beside them"


def forked(folder: Path, plan: list[tuple[Path, Path, int, bool]]) -> list[int]:
    """The exit codes of the plan's runs; see ranks."""
    path = folder / "plan.json"
    path.write_text(json.dumps([[str(job), str(out), processes, stop] for job, out, processes, stop in plan]))
    command = [sys.executable, str(Path(__file__).with_name("ranks.py")), str(path)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False, env=env)
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout.splitlines()[-1])
    return codes


def told_by(out: Path) -> list:
    """The events of a forked run."""
    return [EVENT.validate_json(line) for line in Path(f"{out}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_losses_of_one_process(workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config) -> None:
    inputs = [workplace.put("train", "train.tsv", toy_rows(300), workplace.train_layout)]
    told, plan = {}, []
    for number, (kind, (stage, changes)) in enumerate(KINDS.items()):
        for processes in (1, 2):
            config = tiny_config(**{**changes, stage: {**changes[stage], "num_processes": processes}})
            kept = str(workplace.folder / f"kept-{number}-{processes}")  # the second process opens what the first makes
            job = workplace.job(stage, config, inputs, threads=2, data_cache=kept)
            job = job.rename(job.with_name(f"{number}-{processes}.json"))
            out = workplace.folder / f"out-{number}-{processes}"
            if kind == BY_TORCHRUN and processes == 2:
                code, told[kind, processes] = workplace.run(job, out.name)
                assert code == 0, told[kind, processes][-1]
            else:
                plan.append((job, out, processes, False))
                told[kind, processes] = out
    codes = forked(workplace.folder, plan)
    told |= {which: told_by(found) for which, found in told.items() if isinstance(found, Path)}
    assert codes == [0] * len(plan), [events[-1] for events in told.values()]
    for kind in KINDS:
        assert [sum(event.type == "finished" for event in told[kind, count]) for count in (1, 2)] == [1, 1]
        one, two = (losses(told[kind, processes]) for processes in (1, 2))
        assert two == pytest.approx(one, rel=2e-3), kind
        assert one[0] != one[1]
        for ours, theirs in zip(evaluations(told[kind, 2]), evaluations(told[kind, 1]), strict=True):
            assert ours == pytest.approx(theirs, abs=0.01)
    assert evaluations(told[BY_TORCHRUN, 2])


def losses(events: list) -> tuple[float, float]:
    """Of the first step, and the mean of all the others."""
    said = [event for event in events if isinstance(event, Progress)]
    assert (said[0].step, said[-1].step) == (1, STEPS)
    steps = np.diff([0, *(event.step for event in said)])
    rest = sum(count * event.loss for count, event in zip(steps[1:], said[1:], strict=True))
    return said[0].loss, float(rest / (STEPS - 1))


def evaluations(events: list) -> list[float]:
    return [event.scores.roc_auc for event in events if isinstance(event, Evaluated)]


def test_a_stopped_training_goes_on(workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config) -> None:
    """To the bit, with each process's own dropout."""
    inputs = [workplace.put("train", "train.tsv", toy_rows(300), workplace.train_layout)]
    config = tiny_config(pretrain=None, finetune={"max_steps": 50, "batch_size": 32, "num_processes": 2})
    job = workplace.job("finetune", config, inputs, threads=2, checkpoint_seconds=0)
    whole, parts = workplace.folder / "whole", workplace.folder / "parts"
    plan = [(job, whole, 2, False), (job, parts, 2, True), (job, parts, 2, False)]
    assert forked(workplace.folder, plan) == [0, 3, 0], told_by(parts)[-1]
    assert [(event.step, event.total_steps) for event in told_by(parts) if event.type == "resumed"] == [(20, 50)]
    models = [(out / "model.safetensors").read_bytes() for out in (whole, parts)]
    assert models[0] == models[1]


def test_none_outlives_the_first(workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config) -> None:
    inputs = [workplace.put("train", "train.tsv", toy_rows(300), workplace.train_layout)]
    config = tiny_config(pretrain=None, finetune={"max_steps": 10**6, "num_processes": 2})
    job = workplace.job("finetune", config, inputs, threads=2)
    out = workplace.folder / "killed"
    command = [sys.executable, "-m", "ml", str(job), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as first:
        assert first.stdout
        assert any('"progress"' in line for line in first.stdout)
        assert len(alive(out)) >= 4  # the first, torchrun, and two
        first.kill()
    deadline = time.monotonic() + 30
    while alive(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive(out) == []


def test_a_failure_is_told_once(workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config) -> None:
    inputs = [workplace.put("train", "train.tsv", toy_rows(100), workplace.train_layout)]
    finetune = {"max_steps": 10, "num_processes": 2}
    job = workplace.job("finetune", tiny_config(pretrain=None, finetune=finetune), inputs, threads=2)
    (workplace.folder / "train.tsv").write_text("1 2\t3 4\t1\n")
    code, told = workplace.run(job, "failed")
    assert code != 0
    assert [event.type for event in told if event.type == "failed"] == ["failed"]
    assert "the file changed on its way" in told[-1].reason


def alive(out: Path) -> list[str]:
    """Command lines of the processes that work for this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode("utf-8", "replace")
        except OSError:  # gone meanwhile
            continue
        if str(out) in words:
            found.append(words)
    return found


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RunError, match="num_processes 4 asks for as many GPUs, and this machine has 1"):
        parallel.join(torch.device("cuda"), 4)


def test_alone() -> None:
    assert (parallel.size(), parallel.rank()) == (1, 0)
    assert parallel.own_rows(5).tolist() == [0, 1, 2, 3, 4]
    assert float(parallel.mean(torch.tensor(6.0), 3)) == 2.0
    assert float(parallel.mean(torch.tensor(0.0), 0)) == 0.0
    assert parallel.from_first("a") == "a"
    assert parallel.gathered({"x": torch.ones(1)}) == {}
