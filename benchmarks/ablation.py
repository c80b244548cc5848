"""An ablation table made by pairboard itself: every row goes through the queue, the table is its own export.

    python benchmarks/ablation.py labelled.tsv unlabelled.tsv --folder ablation [--size mini] [--threads 1]

A fifth of the labelled rows, whole components of them, is sealed: it is the contest's test file, and each row's online
score is its AUC there, posted over REST as a contest's answer is. The rest is the train file; every experiment has the
same component-safe split of it (the leaking row excepted, which is there to show the leak). The folder keeps the
database: started again, rows that are finished are not trained again. The last line is one JSON object.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ml.contract.experiment import DataConfig
from ml.contract.pair_file import PairRow, read_rows, sniff
from ml.pairs import Pairs
from ml.split import make_split

ROOT = Path(__file__).resolve().parents[1]
MLM: dict[str, Any] = {"num_train_epochs": 1, "learning_rate": 1e-3, "unlabelled": True, "warmup_ratio": 0.05}
MEAN = {"head": "mean"}
CLOSED = {"closure_positives": True, "closure_negatives": True, "swap": "copies"}
#: name: what differs from the base; a list of names: a fusion of these rows
ROWS: dict[str, Any] = {
    "scratch, [CLS] head": {"pretrain": None},
    "scratch, mean head": {"pretrain": None, "finetune": MEAN},
    "scratch, mean, augmented after the split": {"pretrain": None, "finetune": MEAN, "augment": CLOSED},
    "LEAK: scratch, mean, augmented, then split by row": {
        "pretrain": None,
        "finetune": MEAN,
        "augment": {**CLOSED, "augment_before_split": True},
        "data": {"split_by": "row"},
    },
    "BERT + MLM, [CLS] head": {},
    "BERT + MLM, mean head": {"finetune": MEAN},
    "BERT + MLM, every token to one dimension": {"finetune": {"head": "all"}},
    "BERT + MLM, mean, swap in training and at test": {
        "finetune": {**MEAN, "swap_at_test": True},
        "augment": {"swap": "random"},
    },
    "BERT + MLM, mean, mean of the last 3 weights": {"finetune": {**MEAN, "averaging": "last_weights"}},
    "RoBERTa + MLM, mean head": {"finetune": MEAN, "encoder": {"model_type": "roberta"}},
    "ELECTRA, mean head": {
        "finetune": MEAN,
        "encoder": {"model_type": "electra"},
        "pretrain": {**MLM, "mask_token_share": 1.0, "random_token_share": 0.0},
    },
    "fusion of BERT, RoBERTa, ELECTRA (rank mean)": [
        "BERT + MLM, mean head",
        "RoBERTa + MLM, mean head",
        "ELECTRA, mean head",
    ],
    "BERT + n-gram masks, mean head": {"finetune": MEAN, "pretrain": {**MLM, "masking": "ngram"}},
    "BERT + whole-word masks, mean head": {"finetune": MEAN, "pretrain": {**MLM, "masking": "whole_word"}},
    "NEZHA + MLM, mean head": {"finetune": MEAN, "encoder": {"model_type": "nezha"}},
    "BERT + MLM, mean, FGM": {"finetune": {**MEAN, "adversarial": "fgm", "adversarial_epsilon": 0.5}},
    "BERT + MLM, mean, closed positives and negatives": {
        "finetune": MEAN,
        "augment": {"closure_positives": True, "closure_negatives": True},
    },
    "BERT + MLM, mean, weights 1:1.3": {
        "finetune": {**MEAN, "class_weight": "explicit", "positive_weight": 1.3},
    },
    "NEZHA + n-gram + swap + last weights (best, short)": {
        "encoder": {"model_type": "nezha"},
        "pretrain": {**MLM, "masking": "ngram", "swap": True},
        "augment": {"swap": "random"},
        "finetune": {**MEAN, "averaging": "last_weights", "swap_at_test": True},
    },
}


def main() -> None:
    """Queue what is missing, wait, post the sealed scores, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("unlabelled", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", default="mini")
    parser.add_argument("--epochs", type=float, default=3, help="of finetuning")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    answers = seal(args)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
    env |= {"PAIRBOARD_DATA_DIR": str(args.folder / "data"), "PAIRBOARD_PORT": str(port)}
    env["PAIRBOARD_WORKER_THREADS"] = str(args.threads)
    command = [sys.executable, "-m", "app", "up", "--die-with-parent"]
    up = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, cwd=ROOT)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            wait_for(http)
            numbers = queue(http, args)
            for name, number in numbers.items():
                follow(http, name, number, answers)
            print(http.get("/contests/ablation/leaderboard.md", params={"sort": "valid"}).text)
            print(json.dumps(figures(http)))
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def seal(args: argparse.Namespace) -> list[int]:
    """Write train.tsv and sealed.tsv (no labels) into the folder; returns the sealed labels."""
    layout = sniff(args.labelled, "train")
    rows = [row for row in read_rows(args.labelled, layout, "train") if isinstance(row, PairRow)]
    labels = np.array([row.label for row in rows], np.int8)
    pairs = Pairs([row.a for row in rows], [row.b for row in rows], labels)
    split = make_split(pairs, DataConfig(valid_fraction=0.2, split_seed=1))
    train = "".join(f"{rows[n].a}\t{rows[n].b}\t{rows[n].label}\n" for n in split.train_rows.tolist())
    sealed = "".join(f"{rows[n].a}\t{rows[n].b}\n" for n in split.valid_rows.tolist())
    (args.folder / "train.tsv").write_text(train, encoding="utf-8")
    (args.folder / "sealed.tsv").write_text(sealed, encoding="utf-8")
    return labels[split.valid_rows].tolist()


def wait_for(http: httpx2.Client) -> None:
    """Until web and worker answer."""
    for _ in range(300):
        try:
            if http.get("/health").json()["workers"]:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.5)
    sys.exit("pairboard did not start: see its messages above")


def queue(http: httpx2.Client, args: argparse.Namespace) -> dict[str, int]:
    """The experiments by name; those that an earlier start made are found again."""
    if http.get("/api/v1/contests/ablation").status_code == 404:
        call(http, "/contests", json={"name": "Ablation", "slug": "ablation"})
        files = {"train": args.folder / "train.tsv", "test": args.folder / "sealed.tsv", "unlabelled": args.unlabelled}
        for kind, path in files.items():
            with path.open("rb") as file:
                call(http, "/contests/ablation/files", files={"file": (path.name, file)}, data={"kind": kind})
    table = http.get("/api/v1/contests/ablation/leaderboard", params={"limit": 1000}).json()["rows"]
    numbers = {row["name"]: row["id"] for row in table if row["status"] not in {"failed", "cancelled"}}
    for name, changes in ROWS.items():
        if name not in numbers:
            config = fused(changes, numbers) if isinstance(changes, list) else changed(changes, args)
            numbers[name] = call(http, "/contests/ablation/experiments", json={"name": name, "config": config})["id"]
    return {name: numbers[name] for name in ROWS}


def changed(changes: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The base of every row, with the changes laid over it."""
    base: dict[str, Any] = {
        "data": {"valid_fraction": 0.2, "max_length": 48},
        "tokens": {"min_count": 3},
        "encoder": {"size": args.size},
        "pretrain": MLM,
        "finetune": {"num_train_epochs": args.epochs, "learning_rate": 2e-4},
    }
    for group, values in changes.items():
        base[group] = values if values is None else {**(base.get(group) or {}), **values}
    return base


def fused(names: list[str], numbers: dict[str, int]) -> dict[str, Any]:
    """A fusion of rows that were queued before it."""
    return {"fusion": {"members": [numbers[name] for name in names], "method": "rank_mean"}}


def follow(http: httpx2.Client, name: str, number: int, answers: list[int]) -> None:
    """Wait for one experiment, then post its score on the sealed part once."""
    while True:
        experiment = http.get(f"/api/v1/experiments/{number}").json()
        if experiment["status"] not in {"queued", "running"}:
            break
        time.sleep(2)
    if experiment["status"] != "finished":
        print(f"{name}: {experiment['status']}: {[run['reason'] for run in experiment['runs']]}", flush=True)
        return
    final = [run["id"] for run in experiment["runs"] if run["kind"] != "pretrain"][-1]
    text = http.get(f"/api/v1/runs/{final}/artifacts/test_predictions.tsv").text
    value = float(roc_auc_score(answers, [float(line) for line in text.split("\n") if line]))
    key = {"Idempotency-Key": f"sealed-{number}"}
    call(http, f"/experiments/{number}/online-scores", json={"value": round(value, 6)}, headers=key)
    valid = [s["value"] for s in experiment["scores"] if (s["split"], s["metric"]) == ("valid", "roc_auc")]
    print(f"{name}: valid {valid[0]:.4f}, sealed {value:.4f}", flush=True)


def figures(http: httpx2.Client) -> dict[str, Any]:
    """The table as JSON."""
    table = http.get("/api/v1/contests/ablation/leaderboard", params={"limit": 1000, "sort": "valid"}).json()["rows"]
    keys = ("value", "low", "high")
    return {
        row["name"]: {
            "valid": {key: row["valid"][key] for key in keys} if row["valid"] else None,
            "sealed": row["online"]["value"] if row["online"] else None,
        }
        for row in table
    }


def call(http: httpx2.Client, path: str, **more: Any) -> dict[str, Any]:
    """A POST that must succeed."""
    answer = http.post(f"/api/v1{path}", **more)
    if answer.is_error:
        sys.exit(f"POST {path} answered {answer.status_code}: {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found


if __name__ == "__main__":
    main()
