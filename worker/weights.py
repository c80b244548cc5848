"""Which folder of weights an experiment may name on this machine. Called by tasks before a training begins.

Who may queue experiments from afar must not choose any folder of a worker's disk: there only what lies in
PAIRBOARD_WORKER_WEIGHTS_DIR is opened. A worker beside an app on loopback has one user, who may read his own disk.
"""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ml.contract.job import Job
from worker.settings import WorkerSettings


def refusal(job: Job, settings: WorkerSettings) -> str:
    """Why not; empty when the job names no weights, or some that may be opened."""
    named = job.config.encoder.weights
    if not named or job.kind == "blend":
        return ""
    if settings.weights_dir is None:
        if _is_local(settings.server):
            return ""
        return (
            f"encoder.weights {named!r}: this worker opens no folder that an experiment names; set "
            "PAIRBOARD_WORKER_WEIGHTS_DIR to the folder in which folders of weights lie"
        )
    inside = settings.weights_dir.resolve()
    if Path(named).expanduser().resolve().is_relative_to(inside):  # resolved: a link may lead out of it
        return ""
    return f"encoder.weights {named!r} is not in {inside} (PAIRBOARD_WORKER_WEIGHTS_DIR) on this worker"


def _is_local(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
