"""Training speed against Hugging Face Trainer: the same model, data, batch rows and steps, in turns, in one run.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python benchmarks/train_speed.py pairs.tsv labelled.tsv [--threads 1] [--turns 5] [--seeds 3]

Each side is a process that trains some steps when it is its turn and waits otherwise, so that a noisy machine is noisy
for all; the ratio is the median over turns of real tokens a second (rows a second would be biased: a batch of ours
holds rows of one length). With --seeds, the masked-language loss and the AUC of a finetune from scratch on held-out
pairs after equal rows are compared, too, from as many seeds a side. The last line is one JSON object.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SIDES = {
    "mlm": ("ours", "hf_dynamic", "hf_bf16", "hf_padded"),
    "finetune": ("ours", "hf_dynamic", "hf_bf16"),
}
SIDE = Path(__file__).with_name("train_sides.py")


def main() -> None:
    """Start the sides, take turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, help="for masked-language modelling")
    parser.add_argument("labelled", type=Path, help="for finetuning")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of a turn")
    parser.add_argument("--warm-up", type=int, default=24, help="steps before the first turn")
    parser.add_argument("--turn-seconds", type=float, default=20, help="and a turn ends: bfloat16 may be emulated")
    parser.add_argument("--size", default="mini")
    parser.add_argument("--batch", type=int, default=64, help="rows a step")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seeds", type=int, default=0, help="also compare the loss after --loss-steps")
    parser.add_argument("--loss-steps", type=int, default=150)
    parser.add_argument("--auc-steps", type=int, default=300, help="of finetuning, 0: compare the losses alone")
    parser.add_argument("--only-learning", action="store_true", help="compare what is learnt, without the race")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures: dict[str, Any] = {"threads": args.threads, "size": args.size, "batch": args.batch, "device": args.device}
    for task, names in {} if args.only_learning else SIDES.items():
        told = race(args, task, names)
        for name in names[1:]:
            ratios = [ours / theirs for ours, theirs in zip(told["ours"], told[name], strict=True)]
            figures[f"{task}_vs_{name}"] = round(statistics.median(ratios), 2)
            turns = ", ".join(f"{ratio:.1f}" for ratio in ratios)
            print(f"{task}: ours / {name}: {figures[f'{task}_vs_{name}']:.2f} (turns: {turns})")
    if args.seeds:
        figures |= learning(args, "mlm", "loss", args.loss_steps)
        figures |= learning(args, "finetune", "auc", args.auc_steps) if args.auc_steps else {}
    print(json.dumps(figures))


def race(args: argparse.Namespace, task: str, names: tuple[str, ...]) -> dict[str, list[float]]:
    """Real tokens a second of each side, turn by turn."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: start(args, task, name, Path(folder) / name, args.seed) for name in names}
        try:
            for name in names:
                turn(sides[name], args.warm_up, 3 * args.turn_seconds)
            told: dict[str, list[float]] = {name: [] for name in names}
            for number in range(args.turns):
                for name in names if number % 2 == 0 else names[::-1]:
                    done = turn(sides[name], args.steps, args.turn_seconds)
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


def learning(args: argparse.Namespace, task: str, what: str, steps: int) -> dict[str, Any]:
    """Held-out loss or AUC after equal rows: of each side its mean and spread over the seeds."""
    found: dict[str, Any] = {f"{what}_rows": steps * args.batch}
    for name in ("ours", "hf_dynamic"):
        values = []
        for seed in range(1, args.seeds + 1):
            with tempfile.TemporaryDirectory() as folder:
                process = start(args, task, name, Path(folder), seed)
                turn(process, steps)
                told = turn(process, -1)
                process.kill()
                process.wait()
                values.append(told[what])
        found[f"{name}_{what}"] = round(statistics.mean(values), 4)
        found[f"{name}_{what}_spread"] = round(max(values) - min(values), 4)
        print(f"held-out {what} of {name}: {', '.join(f'{value:.4f}' for value in values)}", flush=True)
    return found


def start(args: argparse.Namespace, task: str, name: str, folder: Path, seed: int) -> subprocess.Popen:
    """A side in a process of its own."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SIDE), task, name, str(folder), str(args.pairs), str(args.labelled)]
    command += ["--threads", str(args.threads), "--size", args.size, "--seed", str(seed)]
    command += ["--batch", str(args.batch), "--device", args.device]
    env = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def turn(process: subprocess.Popen, steps: int, seconds: float = float("inf")) -> dict[str, Any]:
    """Have a side train `steps` more steps, or for so many seconds (-1: stop, and tell the held-out loss); what it
    did."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{steps} {seconds}\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith("{"):
            told: dict[str, Any] = json.loads(line)
            if {"rows", "loss", "auc"} & told.keys():
                return told
    sys.exit(f"a side ended with code {process.wait()}: its message is above")


if __name__ == "__main__":
    main()
