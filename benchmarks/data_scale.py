"""Time and peak memory of a run's data at 10^5, 10^6 and 10^7 pairs: growth must be linear, closure near linear.

    .venv/bin/python benchmarks/data_scale.py [rows ...] [--threads 1]

Pairs are generated: anonymised ids of a contest's lengths (6 tokens a side, the longest 79), sentences that return
with a power law, 36 % positives. Each size runs in a process of its own, through the functions a job goes through:
reading (hash and checks included), component split, vocabulary and tokenising; then closure of positives and
negatives, and one pass of batches. Then two pretrains get their data, each in a process of its own, and draw 2,000
batches: the first makes and keeps it, the second opens what was kept. The peak is VmHWM of a process after each step;
`own` is what it holds without files that are mapped (RssAnon). The last line is one JSON object; `exponent` is the
slope of log(seconds) over log(rows) between the two largest sizes.
"""

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LOADING = ("read", "split", "tokenise")
BATCHES = 2000


def main() -> None:
    """Generate, measure each size, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="*", default=[10**5, 10**6, 10**7])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", type=Path, help="(one size, started by this script)")
    parser.add_argument("--pretrain", choices=["make", "open"], help="(a pretrain's data, started by this script)")
    args = parser.parse_args()
    if args.measure:
        measure_pretrain(args.measure, args.pretrain) if args.pretrain else measure(args.measure)
        return
    told = {rows: run_size(rows, args.threads) for rows in sorted(args.rows)}
    figures: dict[str, Any] = {"threads": args.threads, "sizes": {}}
    for rows, steps in told.items():
        loading = sum(steps[name]["seconds"] for name in LOADING)
        figures["sizes"][rows] = {
            "seconds": round(loading, 2),
            "peak_mb": steps[LOADING[-1]]["peak_mb"],
            **{f"{name}_seconds": round(step["seconds"], 2) for name, step in steps.items()},
            "closure_peak_mb": steps["closure"]["peak_mb"],
            **{f"{name}_{key}": steps[name][key] for name in ("make", "open") for key in ("peak_mb", "own_mb")},
        }
    if 10**6 in told:
        million = figures["sizes"][10**6]
        figures |= {"million_seconds": million["seconds"], "million_peak_mb": million["peak_mb"]}
    if len(told) > 1:
        less, more = sorted(told)[-2:]

        def slope(key: str) -> float:
            return round(math.log(figures["sizes"][more][key] / figures["sizes"][less][key]) / math.log(more / less), 3)

        figures |= {"exponent": slope("seconds"), "closure_exponent": slope("closure_seconds")}
        figures["batching_exponent"] = slope("batch_seconds")
    print(json.dumps(figures))


def run_size(rows: int, threads: int) -> dict[str, dict[str, float]]:
    """What each step took at this size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.tsv"
        write_pairs(path, rows)
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        steps: dict[str, dict[str, float]] = {}
        for more in ([], ["--pretrain", "make"], ["--pretrain", "open"]):
            command = [sys.executable, __file__, "--measure", str(path), *more]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
                for line in process.stdout or ():
                    step = json.loads(line)
                    steps[step["step"]] = step
                    own = f", own {step['own_mb']:6.0f} MB" if "own_mb" in step else ""
                    print(
                        f"{rows:>9,} {step['step']:9} {step['seconds']:8.2f} s, peak {step['peak_mb']:6.0f} MB{own}",
                        flush=True,
                    )
            if process.returncode:
                sys.exit(f"{rows} rows: ended with code {process.returncode}")
    return steps


def write_pairs(path: Path, rows: int, ids: int = 12670) -> None:
    """`rows` labelled pairs, a part of the sentences standing in several, in blocks: memory stays small."""
    random = np.random.default_rng(5)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            # a quarter of the sides are drawn from a pool of rows / 2 sentences, the rest stand once
            pool = random.integers(rows // 2, size=2 * count)
            number = np.where(random.random(2 * count) < 0.25, pool, rows + 2 * start + np.arange(2 * count))
            texts = [sentence(seed, ids) for seed in number.tolist()]
            labels = (random.random(count) < 0.36).astype(int).tolist()
            file.writelines(f"{texts[2 * n]}\t{texts[2 * n + 1]}\t{labels[n]}\n" for n in range(count))


def sentence(number: int, ids: int) -> str:
    """The sentence of this number: 3 to 9 ids (rarely 79), small ones more often, the same each time."""
    state = (number * 0x9E3779B97F4A7C15 + 1) % 2**64
    length = 79 if state % 4099 == 0 else 3 + (state >> 8) % 4 + (state >> 16) % 4
    found = []
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        share = (state >> 33) / 2**31
        found.append(str(int(ids * share**3) + 1))
    return " ".join(found)


def measure(path: Path) -> None:
    """Each step of a job's data, in order; a JSON line after each."""
    from ml.augment import augment
    from ml.batches import epoch_plan, make_batch
    from ml.contract.experiment import AugmentConfig
    from ml.pairs import read_train
    from ml.seeds import numpy_stream
    from ml.split import make_split
    from ml.tokens import build_tokens

    job = job_on(path, "finetune")
    config = job.config
    begin = time.perf_counter()

    def done(step: str) -> None:
        nonlocal begin
        print(json.dumps({"step": step, "seconds": time.perf_counter() - begin, "peak_mb": peak_mb()}), flush=True)
        begin = time.perf_counter()

    pairs = read_train(path.parent, job)
    done("read")
    split = make_split(pairs, config.data)
    done("split")
    train = pairs.only(split.train_rows)
    tokens = build_tokens(config.tokens, train.a + train.b, "ids", config.data.max_length)
    encoded = tokens.encode(train)
    done("tokenise")
    for rows in epoch_plan(encoded.lengths_N, 64, numpy_stream(1, "shuffle", 0)):
        make_batch(encoded, rows, 0)
    done("batch")
    augment(train, AugmentConfig(closure_positives=True, closure_negatives=True), 1)
    done("closure")


def measure_pretrain(path: Path, step: str) -> None:
    """A pretrain's data until the first batch, as a worker's next run gets it; then BATCHES batches for the peak."""
    from ml.batches import make_batch, training_plan
    from ml.prepare import ready_corpus

    job = job_on(path, "pretrain")
    begin = time.perf_counter()
    ready = ready_corpus(path.parent, job, path.parent, lambda _event: None)
    plan = training_plan(ready.corpus.lengths_N, 64, 1)
    make_batch(ready.corpus.encoded, next(plan), 0)
    seconds = time.perf_counter() - begin
    for _ in range(BATCHES):
        make_batch(ready.corpus.encoded, next(plan), 0)
    told = {"step": step, "seconds": seconds, "peak_mb": peak_mb(), "own_mb": peak_mb("RssAnon")}
    print(json.dumps(told), flush=True)


def job_on(path: Path, kind: str) -> Any:
    """A job on the generated file, its tokenised data kept beside it."""
    from ml.contract.experiment import ExperimentConfig
    from ml.contract.job import Job
    from ml.contract.pair_file import sniff

    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    item = {"role": "train", "path": path.name, "name": path.name, "sha256": sha256, "size": path.stat().st_size}
    asked = {"version": 2, "data": {"max_length": 64}, "pretrain": {}}
    job = {"run_id": 1, "attempt": 1, "kind": kind, "config": ExperimentConfig.model_validate(asked)}
    job |= {"inputs": [{**item, "layout": sniff(path, "train")}], "data_cache": str(path.parent / "kept")}
    return Job.model_validate(job)


def peak_mb(what: str = "VmHWM") -> float:
    """A line of /proc/self/status, in MB: VmHWM is the peak of the process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1000)


if __name__ == "__main__":
    main()
