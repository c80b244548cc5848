"""`python -m ml.predict_again folder job.json scratch`: the fresh process of ml.verify.

It loads `folder`, predicts, and writes valid.npy and test.npy. It ends when its stdin, a pipe, does.
"""

import argparse
from pathlib import Path

from ml.contract.collector import collector_rests
from ml.contract.lifeline import die_with_parent


def main() -> None:
    """Parse the command line and predict; what goes wrong is the last line on stderr."""
    die_with_parent()
    parser = argparse.ArgumentParser(prog="python -m ml.predict_again", description="Predict with a saved model.")
    for name in ("folder", "job", "scratch"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    with collector_rests():
        import numpy as np

        from ml.contract.job import Job
        from ml.verify import predict_from_disk
    job = Job.model_validate_json(args.job.read_bytes())
    for name, probabilities_N in predict_from_disk(args.folder, args.job.parent, job).parts.items():
        np.save(args.scratch / f"{name}.npy", probabilities_N, allow_pickle=False)


if __name__ == "__main__":
    main()
