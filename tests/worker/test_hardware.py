"""What a worker tells about its machine: real figures of the host, and cards as nvidia-smi lists them."""

import os
import stat
from pathlib import Path

import pytest

from worker.hardware import machine, measure
from worker.settings import SettingsError, load

TWO_CARDS = """\
0, NVIDIA H200, 143771, 1024, 37, 45, GPU-aaaa
1, "Tesla, old", 16160, [N/A], [Not Supported], [N/A], GPU-bbbb
"""


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that answers what is in its file `answer`."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "answer").write_text(TWO_CARDS)
    return tmp_path


def test_the_host_is_measured(tmp_path: Path) -> None:
    found = machine(tmp_path, None)
    hardware = found.hardware
    assert hardware.cpu_count >= 1
    assert 0 < hardware.memory_used_bytes < hardware.memory_bytes
    assert hardware.disk_free_bytes > 0
    assert {"python", "torch", "transformers", "pairboard"} == set(found.versions)


def test_cards_with_figures_and_without(nvidia_smi: Path, tmp_path: Path) -> None:
    first, second = measure(tmp_path, None).cards
    assert (first.name, first.memory_bytes, first.memory_used_bytes) == ("NVIDIA H200", 143771 << 20, 1024 << 20)
    assert (first.utilization, first.temperature) == (37, 45)
    assert (second.index, second.name) == (1, "Tesla, old")
    assert second.memory_used_bytes is second.utilization is second.temperature is None
    assert machine(tmp_path, "1").gpu_memory_gb == pytest.approx(16.9, abs=0.1)


@pytest.mark.parametrize(
    ("visible", "indices"), [("1", [1]), ("0,1", [0, 1]), ("", []), ("-1", []), ("GPU-bb", [1]), ("7", [])]
)
def test_only_the_cards_it_may_use(nvidia_smi: Path, tmp_path: Path, visible: str, indices: list[int]) -> None:
    assert [card.index for card in measure(tmp_path, visible).cards] == indices


def test_a_driver_that_is_broken_is_said(nvidia_smi: Path, tmp_path: Path) -> None:
    (nvidia_smi / "answer").write_text("No devices were found\n")
    found = measure(tmp_path, None)
    assert found.cards == ()
    assert found.cards_error.startswith("nvidia-smi's answer can't be read")
    (nvidia_smi / "nvidia-smi").write_text("#!/bin/sh\necho the driver is not loaded >&2; exit 9\n")
    assert measure(tmp_path, None).cards_error == "nvidia-smi ended with 9: the driver is not loaded"


def test_a_worker_of_one_card_and_two_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_WORKER_TOKEN", "pb-worker_x")
    monkeypatch.setenv("PAIRBOARD_WORKER_GPU", "1")
    monkeypatch.setenv("PAIRBOARD_WORKER_QUEUES", "gpu,night")
    settings = load()
    assert settings.queue_names == ["gpu", "night"]
    assert settings.worker_name.endswith("-gpu1")
    monkeypatch.setenv("PAIRBOARD_WORKER_QUEUES", "gpu, night")
    with pytest.raises(SettingsError, match="PAIRBOARD_WORKER_QUEUES: String should match pattern"):
        load()
