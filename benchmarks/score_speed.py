"""Scoring against plain transformers: a file of pairs in turns, and one pair on one core through `pairboard export`.

    .venv/bin/python -m pip install -c constraints.txt -e '.[onnx]'
    .venv/bin/python benchmarks/score_speed.py labelled.tsv [--rows 50000] [--threads 1] [--turns 3]

The file: the loop that transformers' documentation shows (tokenizer, padding to the longest of a batch of 64 in file
order, float32, inference_mode) and ours, tokenising included, each on a slice of the same file when it is its turn;
`file_vs_plain` is the median ratio of times with `scoring_precision` bfloat16, `file_vs_plain_float32` with float32.
`file_auc_difference` is how far the AUC of bfloat16's probabilities is from the plain loop's, for a model finetuned on
some rows of the file. One pair: from text to probability by the exported int8
model, p95 of 2,000, 4 x 256 (`pair_p95_ms`) and 12 x 768 (`base_pair_p95_ms`), beside transformers' own p95. The last
line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MAX_LENGTH, PLAIN_BATCH = 128, 64


def main() -> None:
    """Train a model for the file, take turns, then export and time one pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="of the finetuning that makes the model")
    parser.add_argument("--race", type=Path, help="(the race for a file, started by this script)")
    args = parser.parse_args()
    if args.race:
        race(args)
        return
    env = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384", "TOKENIZERS_PARALLELISM": "false"}
    env |= {"OMP_NUM_THREADS": str(args.threads)}
    figures: dict[str, Any] = {"threads": args.threads, "rows": args.rows}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        finetune(folder, args, "mini", args.steps)
        command = [sys.executable, __file__, str(args.labelled), "--race", str(folder), "--rows", str(args.rows)]
        command += ["--threads", str(args.threads), "--turns", str(args.turns)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
        print(told, end="")
        figures |= json.loads(told.splitlines()[-1])
        figures |= one_pair(folder, "")
    with tempfile.TemporaryDirectory() as scratch:
        finetune(Path(scratch), args, "base", 1)
        figures |= one_pair(Path(scratch), "base_")
    print(json.dumps(figures))


def finetune(folder: Path, args: argparse.Namespace, size: str, steps: int) -> None:
    """A finished run in folder/run, of a file's first rows."""
    from ml.contract.experiment import ExperimentConfig
    from ml.contract.pair_file import sniff

    lines = args.labelled.read_bytes().split(b"\n")[: 20_000 if steps > 1 else 400]
    content = b"\n".join(lines) + b"\n"
    (folder / "train.tsv").write_bytes(content)
    config = ExperimentConfig.model_validate(
        {
            "version": 2,
            "data": {"max_length": MAX_LENGTH, "valid_fraction": 0.1},
            "tokens": {"min_count": 1},
            "encoder": {"size": size},
            "finetune": {"max_steps": steps, "learning_rate": 5e-4 if steps > 1 else 1e-5},
        }
    )
    item = {"role": "train", "path": "train.tsv", "name": "train.tsv", "size": len(content)}
    item |= {"sha256": hashlib.sha256(content).hexdigest(), "layout": sniff(folder / "train.tsv", "train").model_dump()}
    job = {"run_id": 1, "attempt": 1, "kind": "finetune", "config": config.model_dump(mode="json"), "inputs": [item]}
    (folder / "job.json").write_text(json.dumps({**job, "device": "cpu", "threads": args.threads}))
    command = [sys.executable, "-m", "ml", str(folder / "job.json"), str(folder / "run")]
    told = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.splitlines()
    if json.loads(told[-1])["type"] != "finished":
        sys.exit(told[-1])


def one_pair(folder: Path, prefix: str) -> dict[str, float]:
    """Latency of the exported int8 model, and of the same model in transformers."""
    command = [sys.executable, "-m", "ml.export", str(folder / "run"), str(folder / "out"), "--int8"]
    command += ["--job", str(folder / "job.json")]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    found = json.loads(told.splitlines()[-1])
    names = {"pair_p50_ms": "p50_ms", "pair_p95_ms": "p95_ms", "pair_p99_ms": "p99_ms"}
    figures = {f"{prefix}{ours}": round(found[theirs], 3) for ours, theirs in names.items()}
    if "int8_auc_cost" in found:
        figures[f"{prefix}int8_auc_cost"] = round(found["int8_auc_cost"], 6)
    print(f"one pair {prefix}int8: p50 {found['p50_ms']:.2f} ms, p95 {found['p95_ms']:.2f}, p99 {found['p99_ms']:.2f}")
    return figures


def race(args: argparse.Namespace) -> None:
    """Both sides on slices of the file, in turns."""
    import torch
    from sklearn.metrics import roc_auc_score
    from transformers import AutoTokenizer, BertForSequenceClassification

    from ml.checkpoint import load_classifier
    from ml.contract.job import Job
    from ml.contract.pair_file import read_rows, sniff
    from ml.machine import set_up
    from ml.pairs import Pairs
    from ml.predict import PairsToScore, Scoring, predict

    rows = [row for row in read_rows(args.labelled, sniff(args.labelled, "train"), "train") if hasattr(row, "a")]
    rows = rows[-args.rows :]
    pairs = Pairs([row.a for row in rows], [row.b for row in rows], np.array([row.label for row in rows], np.int8))
    job = Job.model_validate_json((args.race / "job.json").read_bytes())
    machine = set_up(job)
    folder = args.race / "run"
    model, weights, tokens = load_classifier(folder, machine.device)
    model.load_state_dict(weights[0])
    plain = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def theirs(part: Pairs) -> np.ndarray:
        found = []
        with torch.inference_mode():
            for start in range(0, len(part), PLAIN_BATCH):
                texts = part.a[start : start + PLAIN_BATCH], part.b[start : start + PLAIN_BATCH]
                given = tokenizer(*texts, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
                found.append(torch.softmax(plain(**given).logits, -1)[:, 1])
        return torch.cat(found).numpy()

    def ours(part: Pairs, bf16: bool) -> np.ndarray:
        return predict(model, PairsToScore(tokens.encode(part)), Scoring(machine.device, bf16))

    for bf16 in (True, False):
        ours(pairs.only(np.arange(min(len(pairs), 2000))), bf16)
    theirs(pairs.only(np.arange(min(len(pairs), 200))))
    # ours is given the whole file, as it is scored; the plain loop's time grows with its rows, so a part a turn will do
    part_of_turn = np.array_split(np.arange(len(pairs)), args.turns)
    told: dict[str, list[float]] = {"bfloat16": [], "float32": [], "theirs": []}
    answers: dict[str, list[np.ndarray]] = {"bfloat16": [], "float32": [], "theirs": []}
    for part in part_of_turn:
        begin = time.perf_counter()
        answers["theirs"].append(theirs(pairs.only(part)))
        told["theirs"].append((time.perf_counter() - begin) * len(pairs) / len(part))
        for name in ("bfloat16", "float32"):
            begin = time.perf_counter()
            answers[name] = [ours(pairs, name == "bfloat16")]
            told[name].append(time.perf_counter() - begin)
        seconds = ", ".join(f"{name} {found[-1]:.1f} s" for name, found in told.items())
        print(f"{len(pairs)} pairs: {seconds}", flush=True)
    auc = {name: float(roc_auc_score(pairs.labels_N, np.concatenate(found))) for name, found in answers.items()}
    figures: dict[str, Any] = {}
    for name, key in (("bfloat16", "file_vs_plain"), ("float32", "file_vs_plain_float32")):
        ratios = [slow / fast for slow, fast in zip(told["theirs"], told[name], strict=True)]
        figures[key] = round(statistics.median(ratios), 2)
        figures[f"{key}_turns"] = [round(ratio, 2) for ratio in ratios]
    differences = {name: round(auc[name] - auc["theirs"], 6) for name in ("bfloat16", "float32")}
    figures |= {"file_auc": round(auc["theirs"], 6), "file_auc_difference": differences["bfloat16"]}
    figures["file_auc_difference_float32"] = differences["float32"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
