"""Everything breaks again and again, on both pairs of database and broker; afterwards nothing is lost or doubled.

The short form, for CI: each kind of fault at least once, CHAOS_MINUTES of both pairs together (2.2); with setting up,
settling and looking it takes three to four minutes. `make chaos` runs it for an hour and prints its figures.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.chaos.bench import Pair
from tests.chaos.faults import faults_of
from tests.chaos.history import history
from tests.chaos.servers import Postgres
from tests.conftest import missing

MINUTES = float(os.environ.get("CHAOS_MINUTES", "2.2"))


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["servers", "embedded"])
def test_whatever_breaks_nothing_is_lost_or_doubled(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    if pair == "servers" and not (shutil.which("redis-server") and Postgres.find("initdb")):
        missing("no redis-server or no initdb to start servers of its own with")
    with tempfile.TemporaryDirectory(prefix="pairboard-chaos-", ignore_cleanup_errors=True) as name:
        told = history(Path(name) / pair, pair, MINUTES * 30, seed=20261124)
    with capsys.disabled():
        print(f"\n{told.text(pair)}")
    assert told.violations == []
    assert set(told.faults) | set(told.impossible) == {fault.__name__ for fault in faults_of(pair)}
    assert told.uploads_cut > 0 or "cut_uploads" in told.impossible
    assert told.reloaded.models > 0
    assert told.scores > 0
    if told.impossible:
        missing(f"not every fault could be made: {told.impossible}")
