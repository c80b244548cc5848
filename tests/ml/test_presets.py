"""Every preset is built and trained for two tiny steps of each stage: a preset that can't run is no preset."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ml.contract.events import Progress
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.presets import PRESETS, preset
from ml.run import run
from tests.ml.recipes import public_weights

Rows = Callable[..., list[tuple[str, str, int]]]


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("name", list(PRESETS))
def test_two_steps(name: str, workplace: SimpleNamespace, toy_rows: Rows, tmp_path: Path) -> None:
    """At size tiny, through python -m ml's own entry, weights for those presets that start from some."""
    changes: dict[str, object] = {"finetune": {"max_steps": 2, "batch_size": 8}, "tokens": {"min_count": 1}}
    asked = preset(name, "tiny")
    assert asked.encoder.size == "tiny"
    if asked.pretrain:
        changes["pretrain"] = {"max_steps": 2, "batch_size": 8}
    if asked.encoder.weights:
        changes["encoder"] = {"weights": str(public_weights(tmp_path / "weights"))}
    config = ExperimentConfig.model_validate(merge(asked.model_dump(), changes))
    rows = toy_rows(120)
    inputs = [
        workplace.put("train", "train.tsv", rows, workplace.train_layout),
        workplace.put("unlabelled", "more.tsv", [row[:2] for row in rows[:40]], workplace.test_layout),
    ]
    said: list = []
    if config.pretrain:
        run(workplace.job("pretrain", config, inputs), tmp_path / "pretrained", said.append)
        names = [event.name for event in said if event.type == "artifact"]
        inputs += [workplace.put("pretrained", f"pretrained/{file}") for file in names]
    fold = {"fold": 0} if config.data.folds else {}
    run(workplace.job("finetune", config, inputs, **fold), tmp_path / "out", said.append)
    stages = [event.stage for event in said if isinstance(event, Progress) and event.step == event.total_steps == 2]
    assert stages == (["pretrain", "finetune"] if config.pretrain else ["finetune"])
    assert [event.split for event in said if event.type == "scored"] == ["train", "valid"]
