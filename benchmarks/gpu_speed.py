"""One GPU: masked-language modelling of BERT-base on 800,000 pairs of a contest's lengths, beside Trainer with bf16.

    .venv/bin/python -m pip install -c constraints.txt -e '.[bench]'
    .venv/bin/python benchmarks/gpu_speed.py [--batch 512] [--size base] [--rows 800000] [--turns 5] [--seeds 3]

The pairs are generated (18,577 ids, 6 tokens a side). Both sides take turns on the same card as in train_speed.py;
`epoch_seconds` is all tokens of the file over our median tokens a second, `mlm_vs_hf_bf16` the median ratio of turns.
With --seeds the held-out loss after equal rows is compared with Trainer's in float32. `--device cpu` tries the script
where there is no GPU. The last line is one JSON object.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from data_scale import write_pairs
from train_sides import MAX_LENGTH
from train_speed import learning, race

VOCABULARY = 18_577


def main() -> None:
    """Generate, take turns, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=800_000)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--size", default="base")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="of a turn")
    parser.add_argument("--warm-up", type=int, default=120, help="steps before the first turn")
    parser.add_argument("--turn-seconds", type=float, default=120, help="a turn ends then, too")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--loss-steps", type=int, default=300)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda")
    parser.add_argument("--threads", type=int, default=4)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch finds no GPU here: run this where there is one, or try it with --device cpu --size tiny")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.tsv"
        write_pairs(path, args.rows, VOCABULARY)
        run = argparse.Namespace(**vars(args), pairs=path, labelled=path, seed=1)
        told = race(run, "mlm", ("ours", "hf_bf16"))
        compared = learning(run, "mlm", "loss", args.loss_steps) if args.seeds else {}
        tokens = tokens_in(path)
    speed = statistics.median(told["ours"])
    ratios = [ours / theirs for ours, theirs in zip(told["ours"], told["hf_bf16"], strict=True)]
    figures: dict[str, Any] = {
        "epoch_seconds": round(tokens / speed, 1),
        "mlm_vs_hf_bf16": round(statistics.median(ratios), 2),
        "tokens_per_second": round(speed),
        "rows": args.rows,
        "size": args.size,
        "batch": args.batch,
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
    }
    print(json.dumps(figures | compared))


def tokens_in(path: Path) -> int:
    """Tokens of one pass: both sentences, [CLS] and two [SEP]."""
    total = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            a, b, _ = line.split("\t")
            total += min(MAX_LENGTH, len(a.split()) + len(b.split()) + 3)
    return total


if __name__ == "__main__":
    main()
