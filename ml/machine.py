"""What a run works on: device, threads, determinism. Set once at the start of a process, by run and by verify."""

import os
import platform
import resource
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

from ml import parallel
from ml.contract.events import Started
from ml.contract.fingerprint import code_version
from ml.contract.job import Job
from ml.errors import RunError


@dataclass(frozen=True, slots=True)
class Machine:
    """Where tensors live, and whether matrix products may be in bfloat16."""

    device: torch.device
    threads: int
    bf16: bool


def set_up(job: Job, *, together: bool = False) -> Machine:
    """Choose the device, fix threads and determinism, and silence transformers' bars.

    together: meet the other processes of the job, if torchrun started several.

    Raises RunError when CUDA is asked for and is not there, or not as often as the job wants processes.
    """
    has_cuda = torch.cuda.is_available()
    if job.device == "cuda" and not has_cuda:
        raise RunError("device cuda was asked for, but torch finds no GPU here: choose device auto or cpu")
    device = torch.device("cuda" if has_cuda and job.device != "cpu" else "cpu")
    processes = parallel.processes_of(job)
    if together:
        device = parallel.join(device, processes)
    threads = max(1, (job.threads or physical_cores()) // processes)
    torch.set_num_threads(threads)
    # warn_only: a few CUDA kernels have no deterministic form, and a warning is better than no run
    torch.use_deterministic_algorithms(True, warn_only=True)
    # or torch writes NaN into every tensor before the operation that fills it
    torch.utils.deterministic.fill_uninitialized_memory = False
    if device.type == "cuda":
        warnings.filterwarnings("ignore", message=".*deterministic", category=UserWarning)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return Machine(device, threads, torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16())


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies matrices in bfloat16 faster than in float32: by AMX, or by AVX512-bf16 on AMD,
    where training took two thirds of float32's time (4 x 256, Zen 4). Intel's AVX512-bf16 runs at half of float32's
    rate (94 against 170 GFLOP/s on a Xeon without AMX). A rule, for a measurement would not decide alike each time."""
    able = torch.cpu.get_capabilities()
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(able.get("amx_bf16") or (able.get("avx512_bf16") and "Intel" not in str(able.get("cpu_name"))))


def physical_cores() -> int:
    """Cores this process may use; two hardware threads of one core count once, and a container's CPU quota holds."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # macOS, Windows
        return max(1, os.cpu_count() or 1)
    siblings = {_siblings(cpu) for cpu in allowed}
    quota = _cpu_quota()
    return max(1, min(len(siblings), quota) if quota else len(siblings))


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _cpu_quota() -> int | None:
    """Whole CPUs that the control group allows (docker --cpus), or None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def peak_memory(device: torch.device) -> int:
    """Most bytes so far: on a GPU of tensors, otherwise of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else kibibytes * 1024  # macOS tells bytes


def started(machine: Machine) -> Started:
    """The first event of a run."""
    cuda = machine.device.type == "cuda"
    return Started(
        device=machine.device.type,
        device_name=torch.cuda.get_device_name() if cuda else _cpu_name(),
        threads=machine.threads,
        code_version=code_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
