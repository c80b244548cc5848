"""`best` against plain Hugging Face Trainer: the same encoder, the same split, one run, AUC and wall-clock.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python benchmarks/quality.py labelled.tsv unlabelled.tsv [--threads 1] [--preset best] [--size mini]

Trainer: 3 epochs of masked language modelling on the training part and the unlabelled pairs, 5 epochs of finetuning
BertForSequenceClassification, dynamic padding, batches of 64, and the preset's own learning rates. Ours: the preset as
it is, as jobs of `python -m ml`. Both predict the same held-out rows, and both times include reading and tokenising.
The last line is one JSON object: hf_auc, best_auc, gain, seconds_ratio (ours / theirs) and what they are of.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ml.contract.events import EVENT
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.pair_file import FileKind, PairFileLayout, read_rows, sniff
from ml.contract.presets import preset

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run both and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("unlabelled", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--preset", default="best")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--valid-fraction", type=float, default=0.2)
    parser.add_argument("--trainer", type=Path, help="(the other side, started by this script)")
    args = parser.parse_args()
    asked = {"data": {"valid_fraction": args.valid_fraction}}
    config = ExperimentConfig.model_validate(merge(preset(args.preset, args.size).model_dump(), asked))
    if args.trainer:
        trainer(args, config)
        return
    with tempfile.TemporaryDirectory() as scratch:
        ours = run_ours(Path(scratch), args, config)
        theirs = run_trainer(Path(scratch), args)
    figures = {
        "hf_auc": theirs["auc"],
        "best_auc": ours["auc"],
        "gain": ours["auc"] - theirs["auc"],
        "seconds_ratio": ours["seconds"] / theirs["seconds"],
        "hf_seconds": theirs["seconds"],
        "best_seconds": ours["seconds"],
        "best_interval": ours["interval"],
        "preset": args.preset,
        "size": args.size,
        "threads": args.threads,
        "valid_rows": ours["rows"],
    }
    print(f"Trainer {theirs['auc']:.4f} in {theirs['seconds']:.0f} s; {args.preset} {ours['auc']:.4f} in", end=" ")
    print(f"{ours['seconds']:.0f} s: {figures['gain']:+.4f} AUC in {figures['seconds_ratio']:.2f} of the time")
    print(json.dumps(figures))


def run_ours(folder: Path, args: argparse.Namespace, config: ExperimentConfig) -> dict[str, Any]:
    """Pretrain and finetune as two jobs; also leaves the valid row numbers in folder/split.json."""
    begin = time.perf_counter()
    inputs = [put(folder, args.labelled, "train"), put(folder, args.unlabelled, "unlabelled")]
    if config.pretrain:
        run_job(folder, args, config, "pretrain", inputs)
        for path in sorted((folder / "pretrain").iterdir()):
            inputs.append(described(folder, path, "pretrained"))
    told = run_job(folder, args, config, "finetune", inputs)
    valid = next(event for event in told if event.type == "scored" and event.split == "valid")
    (folder / "finetune" / "split.json").replace(folder / "split.json")
    seconds = time.perf_counter() - begin
    return {"auc": valid.scores.roc_auc, "interval": valid.interval, "rows": valid.rows, "seconds": seconds}


def put(folder: Path, path: Path, role: FileKind) -> dict[str, Any]:
    """A data file beside the job, with its layout."""
    (folder / f"{role}.tsv").write_bytes(path.read_bytes())
    layout = sniff(path, role)
    rows = sum(1 for _ in read_rows(path, layout, role))
    return {**described(folder, folder / f"{role}.tsv", role), "layout": layout.model_dump(), "rows": rows}


def described(folder: Path, path: Path, role: str) -> dict[str, Any]:
    """A job's input."""
    content = path.read_bytes()
    return {
        "role": role,
        "path": str(path.relative_to(folder)),
        "name": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


def run_job(folder: Path, args: argparse.Namespace, config: ExperimentConfig, kind: str, inputs: list) -> list[Any]:
    """`python -m ml`; prints a line now and then. Exits with its message if it fails."""
    job = {"run_id": 1, "attempt": 1, "kind": kind, "config": config.model_dump(mode="json"), "inputs": inputs}
    (folder / f"{kind}.json").write_text(json.dumps({**job, "device": "cpu", "threads": args.threads}))
    command = [sys.executable, "-m", "ml", str(folder / f"{kind}.json"), str(folder / kind)]
    told = []
    last = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for line in process.stdout or ():
            event = EVENT.validate_json(line)
            told.append(event)
            if event.type == "evaluated":
                print(f"{kind} epoch {event.epoch:g}: valid AUC {event.scores.roc_auc:.4f}", flush=True)
            if event.type == "progress" and time.perf_counter() - last > 60:
                last = time.perf_counter()
                print(
                    f"{kind} {event.step}/{event.total_steps} loss {event.loss:.3f} "
                    f"{event.samples_per_second:.0f} rows/s",
                    flush=True,
                )
    if told[-1].type != "finished":
        sys.exit(f"{kind}: {told[-1]}")
    return told


def run_trainer(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The other side, in a process of its own with the same threads."""
    command = [sys.executable, __file__, str(args.labelled), str(args.unlabelled), "--trainer", str(folder)]
    command += ["--threads", str(args.threads), "--preset", args.preset, "--size", args.size]
    begin = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(args.threads)})
    seconds = time.perf_counter() - begin
    return {"auc": json.loads((folder / "trainer.json").read_text())["auc"], "seconds": seconds}


def trainer(args: argparse.Namespace, config: ExperimentConfig) -> None:
    """MLM 3 epochs, finetuning 5, as transformers' examples do it; writes trainer.json."""
    import torch
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertForSequenceClassification,
        BertTokenizerFast,
        DataCollatorForLanguageModeling,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    torch.set_num_threads(args.threads)
    labelled, unlabelled = rows_of(args.labelled, "train"), rows_of(args.unlabelled, "unlabelled")
    held = set(json.loads((args.trainer / "split.json").read_text())["valid_row_numbers"])
    train = [row for number, row in enumerate(labelled) if number not in held]
    valid = [row for number, row in enumerate(labelled) if number in held]
    corpus = [row[:2] for row in train] + [row[:2] for row in unlabelled]
    tokenizer = BertTokenizerFast(vocab=str(vocabulary(args.trainer / "vocab.txt", corpus, config)))

    def encoded(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        found = tokenizer(
            [r[0] for r in rows], [r[1] for r in rows], truncation=True, max_length=config.data.max_length
        )
        labels = [{"labels": row[2]} if len(row) > 2 and row[2] is not None else {} for row in rows]
        return [{key: found[key][n] for key in found} | labels[n] for n in range(len(rows))]

    size = config.encoder.sizes
    bert = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **size._asdict())

    def arguments(name: str, epochs: int, rate: float, rows: int) -> TrainingArguments:
        return TrainingArguments(
            output_dir=str(args.trainer / name),
            num_train_epochs=epochs,
            per_device_train_batch_size=64,
            per_device_eval_batch_size=128,
            learning_rate=rate,
            warmup_steps=round(0.1 * epochs * rows / 64),
            weight_decay=0.01,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=500,
            seed=42,
            use_cpu=True,
            dataloader_pin_memory=False,
        )

    assert config.pretrain is not None
    torch.manual_seed(42)
    mlm = Trainer(
        BertForMaskedLM(bert),
        arguments("mlm", 3, config.pretrain.learning_rate, len(corpus)),
        DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
        encoded(corpus),
    )
    mlm.train()
    mlm.model.save_pretrained(args.trainer / "mlm")
    pairs = Trainer(
        BertForSequenceClassification.from_pretrained(args.trainer / "mlm", num_labels=2),
        arguments("pairs", 5, config.finetune.learning_rate, len(train)),
        DataCollatorWithPadding(tokenizer),
        encoded(train),
    )
    pairs.train()
    logits = pairs.predict(encoded(valid)).predictions
    auc = float(roc_auc_score([row[2] for row in valid], logits[:, 1] - logits[:, 0]))
    (args.trainer / "trainer.json").write_text(json.dumps({"auc": auc}))


def rows_of(path: Path, kind: FileKind) -> list[tuple[Any, ...]]:
    """(a, b, label) of every row."""
    layout: PairFileLayout = sniff(path, kind)
    return [(row.a, row.b, row.label) for row in read_rows(path, layout, kind) if hasattr(row, "a")]


def vocabulary(path: Path, corpus: list[tuple[Any, ...]], config: ExperimentConfig) -> Path:
    """A vocab.txt of the characters and words that stand min_count times or more."""
    import tokenizers

    counts: dict[str, int] = {}
    cut = tokenizers.pre_tokenizers.BertPreTokenizer()
    plain = tokenizers.normalizers.BertNormalizer(lowercase=True)
    for a, b in corpus:
        for text in (a, b):
            for word, _ in cut.pre_tokenize_str(plain.normalize_str(text)):
                counts[word] = counts.get(word, 0) + 1
    kept = sorted((w for w, n in counts.items() if n >= config.tokens.min_count), key=lambda w: (-counts[w], w))
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *kept]) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
