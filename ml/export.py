"""`python -m ml.export run/ out/ [--job job.json] [--int8]`: a finished finetune as ONNX, checked against torch.

Writes the model, its vocabulary and config, and export.json: the largest difference from torch's predictions, and with
the job's inputs the AUC of both on the valid rows. Nothing is left in `out` when they differ. Prints export.json.
"""

import argparse
import contextlib
import json
import logging
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from ml import tokens as token_files
from ml.augment import augment
from ml.averaging import Weights
from ml.batches import Batch, round_up
from ml.checkpoint import load_classifier, read_experiment, read_valid_rows
from ml.contract.job import Job
from ml.errors import RunError
from ml.onnx_scorer import INPUTS, MODEL, OnnxScorer, open_model
from ml.pair_model import PairClassifier
from ml.pairs import Pairs, read_train
from ml.predict import PairsToScore, Scoring, predict_mean

PARITY = 1e-4  # of probabilities
RANDOM_PAIRS = 200  # that are compared when there is no job to take pairs from
TIMED = 500  # single pairs for the latency


class Exported(nn.Module):
    """The graph: from ids, types and mask (all int64, B x L) to the mean probability of label 1 of several weights."""

    def __init__(self, models: list[PairClassifier]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """probability_B."""
        batch = Batch(input_ids, token_type_ids, attention_mask.bool(), np.empty(0, np.int64))
        logits = [model(batch)[0] for model in self.models]
        return torch.stack([torch.sigmoid(each[:, 1] - each[:, 0]) for each in logits]).mean(0)


def export(folder: Path, out: Path, job_path: Path | None, *, int8: bool) -> dict[str, Any]:
    """Export the finetune in `folder` to `out`; returns what export.json holds.

    Raises RunError when `out` is not empty, `folder` is no finished finetune, or ONNX predicts something else.
    """
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty: give a new folder")
    if not (folder / "model.safetensors").is_file() or not (folder / "split.json").is_file():
        raise RunError(f"{folder} is no finished finetune: it has no model.safetensors and split.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        beside = Path(scratch) / "model"
        beside.mkdir()
        for name in (*token_files.FILES, "experiment.json"):
            shutil.copyfile(folder / name, beside / name)
        model, weights, tokens = load_classifier(folder, torch.device("cpu"))
        _write_onnx(folder, weights, beside / MODEL, max_length=tokens.max_length)
        pairs = _valid_pairs(folder, job_path) if job_path else None
        asked = pairs or _random_pairs(tokens.tokenizer.get_vocab_size(), tokens.unit)
        turned = read_experiment(folder).finetune.swap_at_test
        both_ways = PairsToScore(*tokens.encode_both_ways(asked, turned=turned))
        theirs_N = predict_mean(model, weights, both_ways, Scoring(torch.device("cpu"), lean=False))
        found = _compare(beside, asked, theirs_N, labelled=pairs is not None)
        if int8:
            _quantise(beside)
            found |= _cost_of_int8(beside, asked, theirs_N, labelled=pairs is not None)
        found |= {"int8": int8, "bytes": (beside / MODEL).stat().st_size, **_latency(beside, asked)}
        (beside / "export.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        if out.exists():
            out.rmdir()
        beside.replace(out)
    return found


def _write_onnx(folder: Path, weights: list[Weights], path: Path, max_length: int) -> None:
    """Trace with batch and length left open."""
    models = []
    for state in weights:
        each, _, _ = load_classifier(folder, torch.device("cpu"))
        each.load_state_dict(state)
        models.append(each)
    ids = torch.full((3, 10), 5)
    types = torch.zeros_like(ids)
    types[:, 6:] = 1
    real = torch.ones_like(ids)
    real[0, 8:] = 0
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=round_up(max_length))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # says that torchvision is not there
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")  # about the exporter's own insides
        program = torch.onnx.export(
            Exported(models).eval(),
            (ids, types, real),
            dynamo=True,
            dynamic_shapes=[{0: batch, 1: length}] * 3,
            input_names=list(INPUTS),
            output_names=["probability"],
            verbose=False,
        )
    if program is None:
        raise RunError("torch's exporter gave nothing back: use a torch of the versions in constraints.txt")
    program.save(str(path))


def _valid_pairs(folder: Path, job_path: Path) -> Pairs:
    job = Job.model_validate_json(job_path.read_bytes())
    pairs = read_train(job_path.parent, job)
    if job.config.augment.augment_before_split:
        pairs = augment(pairs, job.config.augment, job.config.seed).pairs
    rows = read_valid_rows(folder)
    if not rows:  # full_data: nothing was held out
        return pairs.only(np.arange(min(len(pairs), 2000)))
    if max(rows) >= len(pairs):
        raise RunError(f"{job_path} is not the job of {folder}: valid row {max(rows)} is not in its train file")
    return pairs.only(np.array(rows, dtype=np.int64))


def _random_pairs(count: int, unit: str) -> Pairs:
    """Pairs of ids or of Chinese characters, known or not: parity needs lengths and ids, not sense."""
    random = np.random.default_rng(0)

    def text() -> str:
        if unit == "ids":
            return " ".join(map(str, random.integers(1, max(2, count), random.integers(1, 12))))
        return "".join(chr(0x4E00 + number) for number in random.integers(0, 3000, random.integers(1, 12)))

    a, b = ([text() for _ in range(RANDOM_PAIRS)] for _ in range(2))
    return Pairs(a, b, np.empty(0, np.int8))


def _compare(folder: Path, pairs: Pairs, theirs_N: npt.NDArray[np.float64], *, labelled: bool) -> dict[str, Any]:
    """Difference from torch, and both AUCs."""
    ours_N = OnnxScorer(folder, 1).score(pairs)
    difference = float(np.abs(ours_N - theirs_N).max())
    found: dict[str, Any] = {"rows": len(pairs), "largest_difference": difference}
    if difference > PARITY:
        raise RunError(f"the ONNX file predicts something else than torch: {difference:.3g} at most, over {PARITY}")
    if labelled and len(np.unique(pairs.labels_N)) == 2:
        found |= {"auc": float(roc_auc_score(pairs.labels_N, ours_N)), "torch_auc": _auc(pairs, theirs_N)}
        if round(found["auc"], 4) != round(found["torch_auc"], 4) and abs(found["auc"] - found["torch_auc"]) > 5e-5:
            raise RunError(f"the ONNX file's AUC is {found['auc']:.6f}, torch's {found['torch_auc']:.6f}")
    return found


def _auc(pairs: Pairs, probability_N: npt.NDArray[np.float64]) -> float:
    return float(roc_auc_score(pairs.labels_N, probability_N))


def _quantise(folder: Path) -> None:
    """Weights of matrix products as int8, one scale a column; activations when it runs."""
    open_model(folder / MODEL, 1)  # says how to install it, if it is not there
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantised = folder / "quantised.onnx"
    logging.getLogger().setLevel(logging.ERROR)  # it advises a preparation for convolutions
    options = {"MatMulConstBOnly": True}
    quantize_dynamic(folder / MODEL, quantised, per_channel=True, weight_type=QuantType.QInt8, extra_options=options)
    quantised.replace(folder / MODEL)


def _cost_of_int8(folder: Path, pairs: Pairs, theirs_N: npt.NDArray[np.float64], *, labelled: bool) -> dict[str, Any]:
    ours_N = OnnxScorer(folder, 1).score(pairs)
    found: dict[str, Any] = {"int8_largest_difference": float(np.abs(ours_N - theirs_N).max())}
    if labelled and len(np.unique(pairs.labels_N)) == 2:
        found["int8_auc"] = _auc(pairs, ours_N)
        found["int8_auc_cost"] = _auc(pairs, theirs_N) - found["int8_auc"]
    return found


def _latency(folder: Path, pairs: Pairs) -> dict[str, float]:
    """Milliseconds of one pair on one core, from text to probability, after a warm-up."""
    scorer = OnnxScorer(folder, 1)
    seconds = []
    for number in range(TIMED + 50):
        pair = pairs.only(np.array([number % len(pairs)]))
        begin = time.perf_counter()
        scorer.score(pair)
        seconds.append(time.perf_counter() - begin)
    p50, p95, p99 = np.percentile(np.array(seconds[50:]) * 1000, [50, 95, 99]).tolist()
    return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99}


def main() -> int:
    """Parse the command line; a RunError is a message on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m ml.export", description="Export a finished finetune to ONNX.")
    parser.add_argument("run", type=Path, help="folder of a finished finetune")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--job", type=Path, help="its job.json, beside the inputs: compares AUC on the valid rows")
    parser.add_argument("--int8", action="store_true", help="quantise the weights")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        found = export(args.run, args.out, args.job, int8=args.int8)
    except RunError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program's message
        return 1
    print(json.dumps(found))  # noqa: T201 - a program's answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
