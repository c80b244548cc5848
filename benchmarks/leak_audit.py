"""Time and peak memory of the leak audit of a million pairs, and the same search by datasketch on a sample.

    .venv/bin/python benchmarks/leak_audit.py [rows] [--kind ids|text] [--peer PYTHON]

Pairs are generated: a contest's lengths (6 tokens a side, a few of 79), sentences that return, a third of the pairs two
ways to write nearly the same. Ours is the whole program as the page starts it (`python -m ml.audit`): imports, reading,
the split by component, every check. PYTHON: an interpreter that has datasketch (`pip install datasketch` in an
environment of its own); it gets shingles of two tokens, 128 permutations and the threshold 0.5, and only searches for
near duplicates; both get the same sample, in which 500 valid pairs are training pairs with one token changed.
The peak is VmHWM of the process; seconds are of the clock, and of a core. The last line is one JSON object.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLE, PLANTED = 20_000, 500
PROGRAM = """
import sys
from ml.audit import main
main()
import resource
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(used.ru_utime + used.ru_stime, peak, file=sys.stderr)
"""
PEER = """
import sys, time
from datasketch import MinHash, MinHashLSH
def signed(line):
    words = [side.split() for side in line.rstrip().split("\\t")[:2]]
    made = MinHash(num_perm=128)
    made.update_batch([f"{n} {a} {b}".encode() for n, side in enumerate(words) for a, b in zip(side, side[1:])])
    return made
begin = time.perf_counter()
index = MinHashLSH(threshold=0.5, num_perm=128)
for number, line in enumerate(open(sys.argv[1])):
    index.insert(number, signed(line))
found = [bool(index.query(signed(line))) for line in open(sys.argv[2])]
print(time.perf_counter() - begin, sum(found[:int(sys.argv[3])]), sum(found))
"""


def main() -> None:
    """Generate, audit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--kind", choices=["ids", "text"], default="ids")
    parser.add_argument("--peer", help="an interpreter with datasketch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder / "train.tsv", args.rows, args.kind)
        figures: dict[str, Any] = {"rows": args.rows, "kind": args.kind, **audited(folder / "train.tsv")}
        print(
            f"{args.rows:,} {args.kind} pairs: {figures['seconds']} s ({figures['processor_seconds']} s of a core), "
            f"peak {figures['peak_mb']} MB",
            flush=True,
        )
        print("  " + ", ".join(f"{key} {value:,}" for key, value in figures["found"].items()))
        if args.peer:
            figures["sample"] = compared(folder, args.peer)
    print(json.dumps(figures))


def audited(train: Path, valid: Path | None = None) -> dict[str, Any]:
    """What the program finds, how long it takes, and what it holds at most."""
    sys.path.insert(0, str(ROOT))
    from ml.contract.leaks import AuditAnswer, AuditAsk, AuditFile
    from ml.contract.pair_file import sniff

    files = {
        role: AuditFile(path=str(path), name=path.name, layout=sniff(path, "train"))
        for role, path in (("train", train), ("valid", valid))
        if path
    }
    ask = AuditAsk.model_validate({role: file.model_dump() for role, file in files.items()}).model_dump_json()
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=ask, capture_output=True, text=True, cwd=ROOT, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stderr)
    report = AuditAnswer.model_validate_json(done.stdout).report
    assert report is not None, done.stdout
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(float(done.stderr.split()[-2]), 2),
        "peak_mb": round(int(done.stderr.split()[-1]) / 1000),
        "verdict": report.verdict,
        "found": {check.name: check.count for check in report.checks},
    }


def compared(folder: Path, peer: str) -> dict[str, Any]:
    """Ours and the peer's on the same two files: pairs a second, and how many of the planted twins each finds."""
    train, valid = folder / "sample.tsv", folder / "valid.tsv"
    with (folder / "train.tsv").open(encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(SAMPLE), strict=False)]
    draw = random.Random(3)  # noqa: S311 - sample data
    long = [line for line in lines if min(len(side.split()) for side in line.split("\t")[:2]) > 3]
    planted = [changed(line, draw) for line in draw.sample(long, min(PLANTED, len(long)))]
    train.write_text("".join(lines[PLANTED:] if len(long) < PLANTED else lines), encoding="utf-8")
    valid.write_text("".join([*planted, *lines[: SAMPLE // 10]]), encoding="utf-8")
    ours = audited(train, valid)
    command = [peer, "-c", PEER, str(train), str(valid), str(len(planted))]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    pairs, theirs = len(lines) + len(planted) + SAMPLE // 10, float(told[0])
    found = ours["found"]
    figures = {
        "pairs": pairs,
        "planted": len(planted),
        "ours_near": found["near"],
        "peer_planted_found": int(told[1]),
        "ours_pairs_per_second": round(pairs / ours["seconds"]),
        "peer_pairs_per_second": round(pairs / theirs),
        "ratio": round(theirs / ours["seconds"], 2),
    }
    print(
        f"{pairs:,} pairs: ours (every check) {ours['seconds']} s, datasketch (near duplicates) {theirs:.2f} s; of "
        f"{len(planted)} planted twins ours finds {found['near']}, datasketch {told[1]}"
    )
    return figures


def changed(line: str, draw: random.Random) -> str:
    """The pair with one token of each side changed."""
    a, b, label = line.rstrip("\n").split("\t")
    sides = []
    for side in (a.split(), b.split()):
        side[draw.randrange(len(side))] = str(draw.randint(20_000, 30_000))
        sides.append(" ".join(side))
    return f"{sides[0]}\t{sides[1]}\t{label}\n"


def write_pairs(path: Path, rows: int, kind: str) -> None:
    """`rows` labelled pairs; a quarter of the first sides were there before."""
    draw = random.Random(5)  # noqa: S311 - sample data
    pool: list[list[int]] = []
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            a = draw.choice(pool) if pool and draw.random() < 0.25 else sentence(draw)
            if len(pool) < rows // 4:
                pool.append(a)
            alike = draw.random() < 0.36
            b = list(a) if alike else sentence(draw)
            if alike:
                b[draw.randrange(len(b))] = token(draw)
            file.write(f"{spelt(a, kind)}\t{spelt(b, kind)}\t{int(alike)}\n")


def sentence(draw: random.Random) -> list[int]:
    """3 to 9 tokens, 6 as a rule; one of 4,000 has 79, one of 20 has 16 to 30."""
    kind = draw.random()
    length = 79 if kind < 1 / 4000 else draw.randint(16, 30) if kind < 0.05 else draw.randint(3, 9)
    return [token(draw) for _ in range(length)]


def token(draw: random.Random) -> int:
    """Of 12,000, small ones more often."""
    return int(12_000 * draw.random() ** 3)


def spelt(tokens: list[int], kind: str) -> str:
    """As ids, or as Chinese characters."""
    return " ".join(map(str, tokens)) if kind == "ids" else "".join(chr(0x4E00 + number) for number in tokens)


if __name__ == "__main__":
    main()
