"""What goes wrong. A fault is a function of the bench that breaks something and, where that lasts, mends it again.

It returns whether it hit anything (no trainer may be at work when it comes for one), and raises Impossible where this
machine does not let it happen at all: neither counts as a fault, and both are told.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from app.queue import Bell, Doorbell
from tests.chaos.bench import LEASE_S, Bench, Pair

Fault = Callable[[Bench, random.Random], bool]
PATIENCE_S = 12.0  # for something to break
TWO_DAYS_S = 172_800
MOST_DOUBLED = 50


class Impossible(Exception):
    """Why this machine does not let a fault happen, and what would."""


def kill_worker(bench: Bench, draw: random.Random) -> bool:
    hit = bench.kill(f"worker{draw.randrange(2)}")
    time.sleep(draw.random() * 3)
    return hit


def kill_web(bench: Bench, draw: random.Random) -> bool:
    hit = bench.kill(f"web{draw.randrange(2)}")
    time.sleep(draw.random() * 3)
    return hit


def kill_both_webs(bench: Bench, draw: random.Random) -> bool:
    hit = [bench.kill(f"web{number}") for number in range(2)]
    time.sleep(draw.random() * 6)
    return all(hit)


def kill_trainer(bench: Bench, draw: random.Random) -> bool:
    def killed() -> bool:
        for process in bench.trainers():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                return True
        return False

    return _within(PATIENCE_S, killed)


def stop_worker_gently(bench: Bench, draw: random.Random) -> bool:
    name = f"worker{draw.randrange(2)}"
    hit = bench.runs(name)
    bench.signal(name, signal.SIGTERM)
    bench.processes[name].wait(40)
    return hit


def freeze_worker(bench: Bench, draw: random.Random) -> bool:
    """Past its lease; then it goes on as if nothing had been."""
    name = f"worker{draw.randrange(2)}"
    hit = bench.runs(name)
    bench.signal(name, signal.SIGSTOP)
    time.sleep(LEASE_S + 2 + draw.random() * 2)
    bench.signal(name, signal.SIGCONT)
    return hit


def break_network(bench: Bench, draw: random.Random) -> bool:
    bench.proxy.mode = draw.choice(["refuse", "delay", "cut"])
    time.sleep(2 + draw.random() * 4)
    bench.proxy.mode = "ok"
    return True


def cut_uploads(bench: Bench, draw: random.Random) -> bool:
    """Connections break while a file is on its way, until up to three did."""
    before, wanted = bench.proxy.uploads_cut, draw.randrange(1, 4)
    bench.proxy.mode = "cut uploads"
    _within(PATIENCE_S, lambda: bench.proxy.uploads_cut >= before + wanted)
    bench.proxy.mode = "ok"
    return bench.proxy.uploads_cut > before


def empty_redis(bench: Bench, draw: random.Random) -> bool:
    assert bench.redis is not None
    bench.redis.restart_empty(draw)
    return True


def restart_postgres(bench: Bench, draw: random.Random) -> bool:
    assert bench.postgres is not None
    bench.postgres.cut_off()
    time.sleep(draw.random() * 2)
    bench.postgres.start()
    return True


def ring_wrongly(bench: Bench, draw: random.Random) -> bool:
    """Messages come twice, in another order, for runs that ended long ago and for some that never were."""
    _double_what_waits(bench, draw)
    bells: list[Bell] = [(number, bench.settings.queue) for number in (*range(1, 6), *range(1, 6), 10**9)]
    draw.shuffle(bells)
    return Doorbell(bench.settings).ring(bells)


def _double_what_waits(bench: Bench, draw: random.Random) -> None:
    if bench.redis is not None:
        with bench.redis.client() as client, suppress(redis.RedisError):
            waiting = client.lrange(bench.settings.queue, 0, MOST_DOUBLED - 1)
            mixed = [*waiting, *waiting]
            draw.shuffle(mixed)
            if mixed:
                client.rpush(bench.settings.queue, *mixed)
        return
    folder = bench.settings.data_dir / "broker" / "messages"
    # of many only some: twice as many each time is without end while every worker trains
    for number, message in enumerate(sorted(folder.glob("*"))[:MOST_DOUBLED]):
        with suppress(OSError, ValueError):
            json.loads(message.read_text())
            shutil.copy(message, folder / f"{draw.randrange(10**9)}_{number}.{message.name}")


def shift_clock(bench: Bench, draw: random.Random) -> bool:
    """A worker that lives two days in the future, until it is started anew."""
    ahead = _clock_ahead()
    name = f"worker{draw.randrange(2)}"
    bench.kill(name)
    bench.start_worker(name, **ahead)
    return True


def _clock_ahead() -> dict[str, str]:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise Impossible("libfaketime is missing: apt-get install faketime")
    ahead = {"LD_PRELOAD": str(library), "FAKETIME": f"+{TWO_DAYS_S}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    command = [sys.executable, "-S", "-c", "import time; print(time.time())"]
    told = subprocess.run(command, env={**os.environ, **ahead}, capture_output=True, text=True, check=False)
    if told.returncode or abs(float(told.stdout) - time.time() - TWO_DAYS_S) > 60:
        raise Impossible(f"{library} does not set the clock forward: {told.stdout}{told.stderr[-200:]}")
    return ahead


def fill_disk(bench: Bench, draw: random.Random) -> bool:
    """The workers' disk."""
    if bench.small_disk:
        raise Impossible(bench.small_disk)
    full, wrote = bench.worker_disk / "full", 0
    with suppress(OSError), full.open("wb", buffering=0) as file:
        while True:
            wrote += file.write(bytes(1 << 20))
    time.sleep(1 + draw.random() * 2)
    full.unlink(missing_ok=True)
    return wrote > 0


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (found := holds()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


EVERYWHERE: tuple[Fault, ...] = (
    kill_worker,
    kill_trainer,
    kill_web,
    kill_both_webs,
    stop_worker_gently,
    freeze_worker,
    break_network,
    cut_uploads,
    ring_wrongly,
    shift_clock,
    fill_disk,
)
OF_SERVERS: tuple[Fault, ...] = (empty_redis, restart_postgres)


def faults_of(pair: Pair) -> tuple[Fault, ...]:
    return EVERYWHERE + (OF_SERVERS if pair == "servers" else ())
