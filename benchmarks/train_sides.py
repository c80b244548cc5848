"""One side of train_speed.py, a program of its own: trains so many steps as each line of its stdin says, then tells.

-1 ends it with the masked-language loss, or after finetuning the AUC, on held-out pairs. Started by train_speed.py and
gpu_speed.py.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PADDED, MAX_LENGTH, HELD_OUT = 64, 128, 2000
RATE = 5e-4


class Stop(Exception):
    """The main process has seen enough."""


class Turns:
    """Counts what a side trains; at the end of a turn tells it and waits for the next."""

    def __init__(self) -> None:
        self.left = self.rows = self.tokens = 0
        self.begin, self.seconds = 0.0, float("inf")

    def before_step(self) -> None:
        """A step begins: of the next turn, if this one is over."""
        if self.left == 0 or time.perf_counter() - self.begin > self.seconds:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if self.begin:
                seconds = time.perf_counter() - self.begin
                print(json.dumps({"rows": self.rows, "tokens": self.tokens, "seconds": seconds}), flush=True)
            steps, limit = input().split()
            self.left, self.seconds = int(steps), float(limit)
            if self.left < 0:
                raise Stop
            self.rows = self.tokens = 0
            self.begin = time.perf_counter()
        self.left -= 1

    def count(self, rows: int, tokens: int) -> None:
        """What the step learns from."""
        self.rows += rows
        self.tokens += tokens


def main() -> None:
    """Train one side in turns; then the loss on held-out pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["mlm", "finetune"])
    parser.add_argument("side", help="ours, hf_dynamic, hf_bf16 or hf_padded")
    parser.add_argument("folder", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--device", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = prepared(args, args.task)
    train = ours if args.side == "ours" else theirs
    try:
        train(args, args.task, args.side, args.folder, data, Turns())
    except Stop:
        told = {"loss": held_out_loss(data)} if args.task == "mlm" else {"auc": held_out_auc(data)}
        print(json.dumps(told), flush=True)


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
        "held_labels": labels[held],
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
        corpus = Corpus(encoded, np.ones(len(encoded), dtype=bool))
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
        model = data["model"] = BertForSequenceClassification(data["model"].config)
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


def held_out_auc(data: dict[str, Any]) -> float:
    """AUC on held-out pairs, in float32, by the pass of transformers for every side."""
    from sklearn.metrics import roc_auc_score
    from transformers import BertForSequenceClassification

    from ml.batches import make_batch, scoring_plan

    model, encoded = data["model"].eval(), data["held"]
    scores = np.empty(len(encoded))
    with torch.inference_mode():
        for rows in scoring_plan(encoded.lengths_N, 64):
            batch = make_batch(encoded, rows, data["tokens"].special_ids[0]).to(next(model.parameters()).device)
            if isinstance(model, BertForSequenceClassification):
                logits = model(batch.ids_BL, batch.real_BL, batch.types_BL).logits
            else:
                logits = model(batch)[0]
            scores[rows] = (logits[:, 1] - logits[:, 0]).float().cpu().numpy()
    return float(roc_auc_score(data["held_labels"], scores))


if __name__ == "__main__":
    main()
