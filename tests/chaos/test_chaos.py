"""Everything breaks again and again, on both pairs of database and broker; afterwards nothing is lost or doubled.

The short form: CHAOS_MINUTES of both together (0.8). `make chaos` runs it for an hour and prints its figures.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.chaos.bench import Pair
from tests.chaos.history import history
from tests.conftest import missing

MINUTES = float(os.environ.get("CHAOS_MINUTES", "0.8"))


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["servers", "embedded"])
def test_whatever_breaks_nothing_is_lost_or_doubled(tmp_path: Path, pair: Pair) -> None:
    if pair == "servers":
        servers = shutil.which("redis-server") and (
            shutil.which("initdb") or any(Path("/usr/lib").glob("postgresql/*"))
        )
        if not servers:
            missing("no redis-server or no initdb to start servers of its own with")
    told = history(tmp_path / pair, pair, MINUTES * 30, seed=20261124)
    assert told.violations == []
    assert sum(told.faults.values()) >= MINUTES * 3
    assert told.runs["finished"] > 0
    assert told.scores > 0
