"""Proof that the checks can fail: deliberate faults in a copy of the code, each of which they must catch.

PAIRBOARD_TEST_MUTATIONS=all tries every one (minutes); otherwise a few.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "ml", "worker", "migrations", "templates", "tests", "pyproject.toml")
HISTORIES = "tests/chaos/test_histories.py"
LIFECYCLE = "tests/app/runs/test_lifecycle.py"
COURIER = "tests/worker/test_spool_and_courier.py"
LOOP = "tests/ml/test_loop.py"
UPLOADS = "tests/app/runs/test_uploads.py"
DURABLE = "tests/app/submissions/test_durable_scores.py"


class Mutation(NamedTuple):
    """Replace `old`, which stands once in `file`, by `new`; `caught_by` must fail then."""

    file: str
    old: str
    new: str
    caught_by: str = HISTORIES


MUTATIONS = {
    "the fence is dropped": Mutation(
        "app/runs/intake.py",
        'if attempt.outcome or run.status != "running" or run.attempt != attempt.number:',
        "if False:",
    ),
    "a replay is stored again": Mutation(
        "app/runs/intake.py", "        if number <= attempt.stored_events:\n            continue\n", ""
    ),
    "a gap is taken": Mutation("app/runs/intake.py", "if batch.first > attempt.stored_events + 1:", "if False:"),
    "a move without the attempt's number": Mutation(
        "app/runs/lifecycle.py",
        '.where(Run.id == run.id, Run.status == "running", Run.attempt == attempt.number)',
        ".where(Run.id == run.id)",
        LIFECYCLE,
    ),
    "a claim of what is not queued": Mutation(
        "app/runs/lifecycle.py",
        '.where(Run.id == run.id, Run.status == "queued")\n        .values(status="running"',
        '.where(Run.id == run.id)\n        .values(status="running"',
        LIFECYCLE,
    ),
    "tried again without limit": Mutation(
        "app/runs/lifecycle.py", "if lost >= run.max_attempts:", "if False:", LIFECYCLE
    ),
    "an attempt that is left open": Mutation(
        "app/runs/lifecycle.py",
        "    end_attempt(attempt, outcome, now, reason)\n    if not_before",
        "    if not_before",
    ),
    "a dead worker keeps its runs": Mutation(
        "app/runs/worker_service.py", "if attempt.boot_id != boot_id:", "if False:"
    ),
    "needs are not waited for": Mutation(
        "app/runs/service.py",
        "if waits_for := queries.unmet_needs(session, run.id):",
        "if False and (waits_for := queries.unmet_needs(session, run.id)):",
        LIFECYCLE,
    ),
    "a paused queue hands out": Mutation(
        "app/runs/queue_queries.py", "        Run.queue.not_in(select(PausedQueue.name)),\n", ""
    ),
    "a pretrain is paid twice": Mutation("app/runs/graph.py", "if shared is not None:", "if False:", LIFECYCLE),
    "a score is stored twice": Mutation(
        "app/submissions/service.py", "if key and (earlier :=", "if False and (earlier :="
    ),
    "a score is answered before it is on the disk": Mutation(
        "app/db.py", '"synchronous=FULL"', '"synchronous=NORMAL"', DURABLE
    ),
    "the table shows the first score": Mutation(
        "app/leaderboard/row_queries.py", "score if score.latest else before[0]", "before[0]"
    ),
    "a piece is taken wherever it begins": Mutation("app/partial.py", "if offset != here:", "if False:", UPLOADS),
    "a file is taken for what it is said to be": Mutation(
        "app/partial.py", "if self._digest(file) != self.sha256:", "if False:", UPLOADS
    ),
    "an end is forgotten": Mutation(
        "app/runs/intake.py",
        "            lifecycle.cancelled(session, run, attempt, now)\n",
        "            pass\n",
        LIFECYCLE,
    ),
    "delivered before it is stored": Mutation(
        "worker/courier.py",
        "        answer = self._client.send(self._run_id, self._token, first, events, self._spool.waited(first))\n",
        "        waited = self._spool.waited(first)\n"
        "        self._spool.mark(first - 1 + len(events))\n"
        "        answer = self._client.send(self._run_id, self._token, first, events, waited)\n",
        COURIER,
    ),
    "a refusal is swallowed": Mutation(
        "worker/courier.py",
        "                if not self._confess(error):\n                    return\n",
        "                self._spool.mark(self._spool.written)\n",
        COURIER,
    ),
    "a torn checkpoint is believed": Mutation(
        "ml/resume.py",
        'if hashlib.file_digest(file, "sha256").hexdigest() != digest.read_text(encoding="ascii").strip():',
        "if False:",
        LOOP,
    ),
    "dropout goes on with other numbers": Mutation("ml/resume.py", '    torch.set_rng_state(saved["cpu"])\n', "", LOOP),
}
FEW = ("the fence is dropped", "a score is stored twice", "delivered before it is stored")
TRIED = MUTATIONS if os.environ.get("PAIRBOARD_TEST_MUTATIONS") == "all" else FEW


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_a_deliberate_fault_is_caught(tmp_path: Path, name: str) -> None:
    mutation = MUTATIONS[name]
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    file = tmp_path / mutation.file
    text = file.read_text()
    assert text.count(mutation.old) == 1, f"{mutation.old!r} stands {text.count(mutation.old)} times"
    file.write_text(text.replace(mutation.old, mutation.new))
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.caught_by]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, f"not caught ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-500:]}"
