"""What goes wrong. A fault is a function of the bench that breaks something and, where that lasts, mends it again."""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from tests.chaos.bench import LEASE_S, Bench, Pair

Fault = Callable[[Bench, random.Random], None]
TMPFS_MB = 64


def kill_worker(bench: Bench, draw: random.Random) -> None:
    bench.kill(f"worker{draw.randrange(2)}")
    time.sleep(draw.random() * 3)


def kill_web(bench: Bench, draw: random.Random) -> None:
    bench.kill(f"web{draw.randrange(2)}")
    time.sleep(draw.random() * 3)


def kill_both_webs(bench: Bench, draw: random.Random) -> None:
    for number in range(2):
        bench.kill(f"web{number}")
    time.sleep(draw.random() * 6)


def kill_trainer(bench: Bench, draw: random.Random) -> None:
    for process in bench.trainers()[:1]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def stop_worker_gently(bench: Bench, draw: random.Random) -> None:
    name = f"worker{draw.randrange(2)}"
    bench.signal(name, signal.SIGTERM)
    bench.processes[name].wait(40)


def freeze_worker(bench: Bench, draw: random.Random) -> None:
    """Past its lease; then it goes on as if nothing had been."""
    name = f"worker{draw.randrange(2)}"
    bench.signal(name, signal.SIGSTOP)
    time.sleep(LEASE_S + 2 + draw.random() * 2)
    bench.signal(name, signal.SIGCONT)


def break_network(bench: Bench, draw: random.Random) -> None:
    bench.proxy.mode = draw.choice(["refuse", "delay", "cut"])
    time.sleep(2 + draw.random() * 4)
    bench.proxy.mode = "ok"


def flush_redis(bench: Bench, draw: random.Random) -> None:
    bench.kill("redis")
    time.sleep(draw.random() * 2)
    bench.start_redis()


def restart_postgres(bench: Bench, draw: random.Random) -> None:
    bench.restart_postgres()


def ring_wrongly(bench: Bench, draw: random.Random) -> None:
    """Messages come twice, in another order, and for runs that never were."""
    if bench.pair == "servers":
        with redis.Redis(port=bench.redis_port) as client, suppress(redis.RedisError):
            waiting = client.lrange("pairboard", 0, -1)
            mixed = [*waiting, *waiting]
            draw.shuffle(mixed)
            if mixed:
                client.rpush("pairboard", *mixed)
        return
    folder = bench.folder / "data" / "broker" / "messages"
    for number, message in enumerate(sorted(folder.glob("*"))):
        with suppress(OSError, ValueError):
            json.loads(message.read_text())
            shutil.copy(message, folder / f"{draw.randrange(10**9)}_{number}.{message.name}")


def shift_clock(bench: Bench, draw: random.Random) -> None:
    """A worker that lives two days in the future, until it is started anew."""
    name = f"worker{draw.randrange(2)}"
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        return
    bench.kill(name)
    bench.start(
        name,
        [sys.executable, "-m", "worker"],
        PAIRBOARD_WORKER_NAME=f"w{name[-1]}",
        LD_PRELOAD=str(library),
        FAKETIME="+2d",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )


def fill_disk(bench: Bench, draw: random.Random) -> None:
    """The workers' disk, if it is a small one of our own (test_chaos mounts it when it may)."""
    place = bench.folder / "data" / "worker"
    if not place.is_mount():
        return
    full = place / "full"
    with suppress(OSError), full.open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
    time.sleep(1 + draw.random() * 2)
    full.unlink(missing_ok=True)


EVERYWHERE: tuple[Fault, ...] = (
    kill_worker,
    kill_worker,
    kill_trainer,
    kill_trainer,
    kill_web,
    kill_both_webs,
    stop_worker_gently,
    freeze_worker,
    break_network,
    break_network,
    ring_wrongly,
    shift_clock,
    fill_disk,
)
OF_SERVERS: tuple[Fault, ...] = (flush_redis, restart_postgres)


def faults_of(pair: Pair) -> tuple[Fault, ...]:
    return EVERYWHERE + (OF_SERVERS if pair == "servers" else ())
