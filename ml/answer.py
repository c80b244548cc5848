"""`python -m ml.answer folder/`: answers pairs with an exported model; JSON lines in, JSON lines out, until stdin ends.

First line out: export.json. Then for each `[["a", "b"], ...]` a list of probabilities of label 1. Started by the
`pairboard serve-model` server, which has no model code of its own.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ml.errors import RunError
from ml.onnx_scorer import OnnxScorer, facts
from ml.pairs import Pairs


def main() -> int:
    """Parse the command line and answer; a RunError is a message on stderr and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m ml.answer", description="Answer pairs with an exported model.")
    parser.add_argument("folder", type=Path, help="what `pairboard export` wrote")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    try:
        scorer, told = OnnxScorer(args.folder, args.threads), facts(args.folder)
    except (RunError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a program's message
        return 1
    scorer.score(Pairs(["a"], ["b"], np.empty(0, np.int8)))  # the first one prepares
    _say(told)
    for line in sys.stdin:
        asked = json.loads(line)
        _say(scorer.score(Pairs([a for a, _ in asked], [b for _, b in asked], np.empty(0, np.int8))).tolist())
    return 0


def _say(content: object) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
