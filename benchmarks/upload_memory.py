"""Peak memory of the web process while a large pair file is uploaded, beside reading all its rows into a list.

    .venv/bin/python benchmarks/upload_memory.py [rows]

The peer is what a script does without thinking: csv.reader into a list. Both run in a process of their own; the
figure is VmHWM, the most memory the process ever held. Linux only. The last line is one JSON object.
"""

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PEER = """
import csv, sys
with open(sys.argv[1], encoding="utf-8", newline="") as file:
    rows = list(csv.reader(file, delimiter="\\t"))
status = open("/proc/self/status").read()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def write_pairs(path: Path) -> None:
    """Anonymised pairs of the lengths that these contests have: 3 to 20 tokens a side."""
    draw = random.Random(5)  # noqa: S311 - sample data
    with path.open("w", encoding="utf-8") as file:
        for _ in range(ROWS):
            a, b = (" ".join(str(draw.randint(1, 20000)) for _ in range(draw.randint(3, 20))) for _ in range(2))
            file.write(f"{a}\t{b}\t{int(draw.random() < 0.4)}\n")


def peak_kb(pid: int) -> int:
    """VmHWM of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def ours(folder: Path, file: Path) -> tuple[int, int, float]:
    """(peak before, peak after, seconds) of a web process that takes the file in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PAIRBOARD_DATA_DIR": str(folder / "data"), "PAIRBOARD_PORT": str(port)}
    subprocess.run([sys.executable, "-m", "app", "migrate"], env=env, check=True, stdout=subprocess.DEVNULL)
    web = subprocess.Popen([sys.executable, "-m", "app", "web"], env=env)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
            for _ in range(300):
                try:
                    http.get("/health").raise_for_status()
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            http.post("/api/v1/contests", json={"name": "big", "slug": "big"}).raise_for_status()
            before, begin = peak_kb(web.pid), time.perf_counter()
            with file.open("rb") as source:
                sent = {"file": ("big.tsv", source)}
                answer = http.post("/api/v1/contests/big/files", files=sent, data={"kind": "train"}).raise_for_status()
            assert answer.json()["rows"] == ROWS
            return before, peak_kb(web.pid), time.perf_counter() - begin
    finally:
        web.terminate()
        web.wait()


def main() -> None:
    """Run both and print the ratio."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "big.tsv"
        write_pairs(file)
        size = file.stat().st_size
        before, peak, seconds = ours(Path(name), file)
        done = subprocess.run([sys.executable, "-c", PEER, str(file)], capture_output=True, text=True, check=True)
        peer = int(done.stdout)
    print(f"{ROWS:,} rows, {size / 1e6:.0f} MB, taken in and reported on in {seconds:.0f} s")
    print(f"web process: {peak / 1e3:.0f} MB at its peak ({before / 1e3:.0f} MB before the upload)")
    print(f"csv.reader into a list: {peer / 1e3:.0f} MB, {peer / peak:.1f} times as much")
    figures = {
        "rows": ROWS,
        "file_mb": round(size / 1e6),
        "web_peak_mb": round(peak / 1e3),
        "web_before_mb": round(before / 1e3),
        "peer_peak_mb": round(peer / 1e3),
        "peer_over_ours": round(peer / peak, 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
