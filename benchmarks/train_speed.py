"""Training speed against Hugging Face Trainer: the same model, data, batch rows and steps, in turns, in one run.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python benchmarks/train_speed.py pairs.tsv labelled.tsv [--threads 1] [--turns 5] [--seeds 3]

Each side is a process that trains some steps when it is its turn and waits otherwise, so that a noisy machine is noisy
for all; the ratio is the median over turns of real tokens a second (rows a second would be biased: a batch of ours
holds rows of one length). With --seeds, the masked-language loss on held-out pairs after equal rows is compared, too,
from as many seeds a side. The last line is one JSON object.
"""

import argparse
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
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SIDES = {
    "mlm": ("ours", "hf_dynamic", "hf_bf16", "hf_padded"),
    "finetune": ("ours", "hf_dynamic", "hf_bf16"),
}
PADDED, MAX_LENGTH, HELD_OUT = 64, 128, 2000
RATE = 5e-4


def main() -> None:
    """Start the sides, take turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="for masked-language modelling")
    parser.add_argument("labelled", type=Path, help="for finetuning")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a turn")
    parser.add_argument("--warm-up", type=int, default=24, help="steps before the first turn")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--batch", type=int, default=64, help="rows a step")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seeds", type=int, default=0, help="also compare the loss after --loss-steps")
    parser.add_argument("--loss-steps", type=int, default=150)
    parser.add_argument("--side", nargs=3, metavar=("TASK", "SIDE", "FOLDER"), help="(a side, started by this script)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.side:
        side(args)
        return
    figures: dict[str, Any] = {"threads": args.threads, "size": args.size, "batch": args.batch, "device": args.device}
    for task, names in SIDES.items():
        told = race(args, task, names)
        for name in names[1:]:
            ratios = [ours / theirs for ours, theirs in zip(told["ours"], told[name], strict=True)]
            figures[f"{task}_vs_{name}"] = round(statistics.median(ratios), 2)
            turns = ", ".join(f"{ratio:.1f}" for ratio in ratios)
            print(f"{task}: ours / {name}: {figures[f'{task}_vs_{name}']:.2f} (turns: {turns})")
    if args.seeds:
        figures |= losses(args)
    print(json.dumps(figures))


def race(args: argparse.Namespace, task: str, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Real tokens a second of each side, turn by turn."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: start(args, task, name, Path(folder) / name, args.seed) for name in names}
        try:
            for name in names:
                turn(sides[name], args.warm_up)
            told: dict[str, list[float]] = {name: [] for name in names}
            for number in range(args.turns):
                for name in names if number % 2 == 0 else names[::-1]:
                    done = turn(sides[name], args.steps)
                    told[name].append(done["tokens"] / done["seconds"])
                    print(
                        f"{task} {name}: {done['rows'] / done['seconds']:.0f} rows/s, {told[name][-1]:.0f} tokens/s",
                        flush=True,
                    )
            return told
        finally:
            for process in sides.values():
                process.kill()
                process.wait()


def losses(args: argparse.Namespace) -> dict[str, Any]:
    """Held-out loss after equal rows: of each side its mean and spread over the seeds."""
    found: dict[str, Any] = {"loss_rows": args.loss_steps * args.batch}
    for name in ("ours", "hf_dynamic"):
        values = []
        for seed in range(1, args.seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                process = start(args, "mlm", name, Path(folder), seed)
                turn(process, args.loss_steps)
                told = turn(process, -1)
                process.kill()
                process.wait()
                values.append(told["loss"])
        found[f"{name}_loss"] = round(statistics.mean(values), 4)
        found[f"{name}_loss_spread"] = round(max(values) - min(values), 4)
        print(f"held-out loss of {name}: {', '.join(f'{value:.4f}' for value in values)}", flush=True)
    return found


def start(args: argparse.Namespace, task: str, name: str, folder: Path, seed: int) -> subprocess.Popen:
    """A side in a process of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, __file__, str(args.pairs), str(args.labelled), "--side", task, name, str(folder)]
    command += ["--threads", str(args.threads), "--size", args.size, "--seed", str(seed)]
    command += ["--loss-steps", str(args.loss_steps), "--batch", str(args.batch), "--device", args.device]
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def turn(process: subprocess.Popen, steps: int) -> dict[str, Any]:
    """Have a side train `steps` more steps (-1: stop, and tell the held-out loss); what it did."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            told: dict[str, Any] = json.loads(line)
            if "rows" in told or "loss" in told:
                return told
    sys.exit(f"a side ended with code {process.wait()}: its message is above")


class Stop(Exception):
    """The main process has seen enough."""


class Turns:
    """Counts what a side trains; at the end of a turn tells it and waits for the next."""

    def __init__(self) -> None:
        self.left = self.rows = self.tokens = 0
        self.begin = 0.0

    def before_step(self) -> None:
        """A step begins: of the next turn, if this one is over."""
        if self.left == 0:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if self.begin:
                seconds = time.perf_counter() - self.begin
                print(json.dumps({"rows": self.rows, "tokens": self.tokens, "seconds": seconds}), flush=True)
            self.left = int(input())
            if self.left < 0:
                raise Stop
            self.rows = self.tokens = 0
            self.begin = time.perf_counter()
        self.left -= 1

    def count(self, rows: int, tokens: int) -> None:
        """What the step learns from."""
        self.rows += rows
        self.tokens += tokens


def side(args: argparse.Namespace) -> None:
    """Train one side in turns; then the loss on held-out pairs."""
    torch.set_num_threads(args.threads)
    task, name, folder = args.side
    data = prepared(args, task)
    train = ours if name == "ours" else theirs
    try:
        train(args, task, name, Path(folder), data, Turns())
    except Stop:
        print(json.dumps({"loss": held_out_loss(data)}), flush=True)


def prepared(args: argparse.Namespace, task: str) -> dict[str, Any]:
    """Config, tokens, encoded rows and a fresh model: the same for all sides of a seed."""
    from ml.contract.experiment import ExperimentConfig
    from ml.contract.pair_file import read_rows, sniff
    from ml.pair_model import build_classifier, build_language_model
    from ml.pairs import Pairs
    from ml.tokens import build_tokens

    path, kind = (args.pairs, "unlabelled") if task == "mlm" else (args.labelled, "train")
    rows = [row for row in read_rows(path, sniff(path, kind), kind) if hasattr(row, "a")]
    labels = np.array([row.label if task == "finetune" else 0 for row in rows], np.int8)
    pairs = Pairs([row.a for row in rows], [row.b for row in rows], labels)
    phase = {"learning_rate": RATE, "batch_size": args.batch, "max_steps": 10**6, "warmup_ratio": 0.0}
    phase["lr_scheduler_type"] = "constant_with_warmup"
    config = ExperimentConfig.model_validate(
        {
            "version": 2,
            "seed": args.seed,
            "data": {"max_length": MAX_LENGTH},
            "tokens": {"min_count": 1},
            "encoder": {"size": args.size},
            "pretrain": phase,
            "finetune": {**phase, "head": "cls"},
        }
    )
    tokens = build_tokens(config.tokens, pairs.a + pairs.b, "ids", MAX_LENGTH)
    order = np.random.default_rng(0).permutation(len(pairs))
    device = torch.device(args.device)
    if task == "mlm":
        model: Any = build_language_model(config, tokens, None, device, args.seed)
    else:
        model, _ = build_classifier(config, tokens, None, device, args.seed)
    train, held = order[HELD_OUT:], order[:HELD_OUT]
    return {
        "config": config,
        "tokens": tokens,
        "train": tokens.encode(pairs, train),
        "labels": labels[train],
        "held": tokens.encode(pairs, held),
        "model": model,
    }


def ours(args: argparse.Namespace, task: str, _name: str, _folder: Path, data: dict[str, Any], turns: Turns) -> None:
    """The product's own loop."""
    from ml.contract.job import Job
    from ml.finetune import LabelObjective, Lessons
    from ml.loop import Course, Training, train
    from ml.machine import set_up
    from ml.pretrain import Corpus, pretrain_objective

    config, encoded = data["config"], data["train"]
    job = {"run_id": 1, "attempt": 1, "kind": "pretrain", "config": config, "inputs": []}
    machine = set_up(Job.model_validate({**job, "device": args.device, "threads": args.threads}))
    phase = config.pretrain if task == "mlm" else config.finetune
    if task == "mlm":
        corpus = Corpus(encoded, None, np.ones(len(encoded), dtype=bool))
        objective: Any = pretrain_objective(data["model"], corpus, data["tokens"], phase, args.seed, machine.device)
    else:
        objective = LabelObjective(data["model"], Lessons(encoded, data["labels"]), phase, args.seed, machine.device)
    draw = objective.batch

    def counted(rows: Any) -> Any:
        turns.before_step()
        turns.count(len(rows), int(encoded.lengths_N[rows].sum()))
        return draw(rows)

    objective.batch = counted
    kind = "pretrain" if task == "mlm" else "finetune"
    course = Course(kind, encoded.lengths_N, phase, args.seed)
    train(Training(data["model"], objective, course, machine, lambda _event: None))


def theirs(args: argparse.Namespace, task: str, name: str, folder: Path, data: dict[str, Any], turns: Turns) -> None:
    """Trainer, as transformers' examples use it."""
    from transformers import (
        BertForSequenceClassification,
        BertTokenizerFast,
        DataCollatorForLanguageModeling,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    vocabulary = sorted(data["tokens"].tokenizer.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("\n".join(word for word, _ in vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"))
    fixed = {"padding": "max_length", "max_length": PADDED} if name == "hf_padded" else {}
    encoded = data["train"]
    rows = []
    for number in range(len(encoded)):
        ids = encoded.flat_T[encoded.offsets[number] : encoded.offsets[number + 1]].tolist()
        types = [int(place >= encoded.second_N[number]) for place in range(len(ids))]
        row = {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}
        if fixed:
            row = {key: (value + [0] * PADDED)[:PADDED] for key, value in row.items()}
        rows.append(row if task == "mlm" else {**row, "labels": int(data["labels"][number])})
    model, collate = data["model"], DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    if task == "finetune":
        model = BertForSequenceClassification(data["model"].config)
        collate = DataCollatorWithPadding(tokenizer)

    def counted(batch: list[dict[str, Any]]) -> Any:
        turns.count(len(batch), sum(sum(row["attention_mask"]) for row in batch))
        return collate(batch)

    class Wait(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            turns.before_step()

    trainer = Trainer(
        model,
        TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=1000,
            per_device_train_batch_size=args.batch,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            weight_decay=0.01,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_steps=10**9,
            seed=args.seed,
            use_cpu=args.device == "cpu",
            bf16=name == "hf_bf16",
            dataloader_pin_memory=False,
        ),
        counted,
        rows,
        callbacks=[Wait()],
    )
    trainer.train()


def held_out_loss(data: dict[str, Any]) -> float:
    """Mean masked-language loss of held-out pairs under masks that are the same for every side, in float32."""
    from torch.nn.functional import cross_entropy

    from ml.batches import make_batch, scoring_plan
    from ml.contract.experiment import PretrainConfig
    from ml.encoder import hidden_states
    from ml.masking import Masker

    model, tokens, encoded = data["model"].eval(), data["tokens"], data["held"]
    masker = Masker(tokens, PretrainConfig(), torch.Generator().manual_seed(0))
    total = count = 0.0
    with torch.inference_mode():
        for rows in scoring_plan(encoded.lengths_N, 64):
            batch = make_batch(encoded, rows, tokens.special_ids[0])
            masked = masker(batch.ids_BL)
            batch = type(batch)(masked.ids_BL, batch.types_BL, batch.real_BL, rows).to(model.device)
            logits = model.cls(hidden_states(model.base_model, batch, masked.places_M.to(model.device)))
            total += float(cross_entropy(logits, masked.targets_M.to(model.device), reduction="sum"))
            count += len(masked.targets_M)
    return total / count


if __name__ == "__main__":
    main()
