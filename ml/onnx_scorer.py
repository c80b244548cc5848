"""Scores pairs with an exported model: ONNX Runtime and a tokenizer, without torch. Called by answer and export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.contract.experiment import ExperimentConfig
from ml.encoded import EncodedPairs
from ml.errors import RunError
from ml.pairs import Pairs
from ml.tokens import load_tokens

MODEL = "model.onnx"
INPUTS = ("input_ids", "token_type_ids", "attention_mask")
BATCH = 64


class OnnxScorer:
    """A folder that ml.export wrote, ready to score. `threads`: of ONNX Runtime.

    Raises RunError when a file is missing, or the package is not installed.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        for name in (MODEL, "experiment.json", "tokenizer.json"):
            if not (folder / name).is_file():
                raise RunError(f"{folder} has no {name}: give a folder that `pairboard export` wrote")
        config = ExperimentConfig.model_validate_json((folder / "experiment.json").read_bytes())
        self.tokens = load_tokens(folder)
        self.both_ways = config.finetune.swap_at_test
        self.session = open_model(folder / MODEL, threads)

    def score(self, pairs: Pairs) -> npt.NDArray[np.float64]:
        """Probability of label 1 of each pair; of both orders the mean where the model was trained to be asked so."""
        encoded, turned = self.tokens.encode_both_ways(pairs, turned=self.both_ways)
        straight_N = self.score_encoded(encoded)
        return straight_N if turned is None else (straight_N + self.score_encoded(turned)) / 2

    def score_encoded(self, encoded: EncodedPairs) -> npt.NDArray[np.float64]:
        """Of token ids, pairs of like length together."""
        found_N = np.empty(len(encoded))
        order = np.argsort(-encoded.lengths_N, kind="stable")
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            width = int(encoded.lengths_N[rows].max())
            arrays = encoded.padded(rows, width, self.tokens.special_ids[0])
            found_N[rows] = self.session.run(None, dict(zip(INPUTS, arrays, strict=True)))[0]
        return found_N


def open_model(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU. Raises RunError when the package is missing or the file broken."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise RunError("ONNX Runtime is not installed: pip install 'pairboard[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            path,
            options,
            providers=["CPUExecutionProvider"],
            # its fused kernel of sum and norm takes three times as long as the two alone (1.32, AVX512)
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # its exceptions share no base class
        raise RunError(f"{path} does not open in ONNX Runtime: {str(error).splitlines()[0]}") from error


def facts(folder: Path) -> dict[str, Any]:
    """What export.json says."""
    found: dict[str, Any] = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    return found
