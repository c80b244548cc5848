"""Predicts with a saved model, from its files and the job alone: what a fork of ml.fresh does for ml.verify.

`python -m ml.predict_again folder job.json scratch` does it in a process of its own, which ends when its stdin, a pipe,
does.
"""

import argparse
from pathlib import Path

from ml.contract.collector import collector_rests
from ml.contract.lifeline import die_with_parent


def predict_again(folder: Path, job_path: Path, scratch: Path) -> None:
    """Load `folder`, predict, and write valid.npy and test.npy."""
    # here: torch takes seconds
    with collector_rests():
        import numpy as np

        from ml.contract.job import Job
        from ml.verify import predict_from_disk
    job = Job.model_validate_json(job_path.read_bytes())
    for name, probabilities_N in predict_from_disk(folder, job_path.parent, job).parts.items():
        np.save(scratch / f"{name}.npy", probabilities_N, allow_pickle=False)


def main() -> None:
    """Parse the command line and predict; what goes wrong is the last line on stderr."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m ml.predict_again", description="Predict with a saved model.")
    for name in ("folder", "job", "scratch"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    predict_again(args.folder, args.job, args.scratch)


if __name__ == "__main__":
    main()
