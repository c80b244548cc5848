"""Every preset is built and trained for two tiny steps of each stage: a preset that can't run is no preset."""

from types import SimpleNamespace

import pytest
from transformers import BertForMaskedLM, BertForSequenceClassification

from ml.contract.events import Progress
from ml.contract.presets import PRESETS, preset
from ml.finetune import finetune
from ml.machine import Machine
from ml.pair_model import build_model
from ml.pairs import Pairs
from ml.pretrain import pretrain
from ml.split import make_split
from ml.tokens import build_tokens


@pytest.mark.parametrize("name", list(PRESETS))
def test_two_steps(name: str, toy_rows: object, as_pairs: object, cpu: Machine) -> None:
    config = preset(name)
    pairs: Pairs = as_pairs(toy_rows(40))  # type: ignore[operator]
    split = make_split(pairs, 0.3, config.seed)
    tokens = build_tokens(config.tokens, pairs, split.train_rows, config.data.max_length)
    train, valid = tokens.encode(pairs, split.train_rows), tokens.encode(pairs, split.valid_rows)
    two = SimpleNamespace(batch_size=4, num_train_epochs=2 * 4 / len(train))
    said: list[object] = []
    if config.pretrain:
        phase = config.pretrain.model_copy(update=vars(two))
        model = build_model(BertForMaskedLM, config, tokens, None, cpu.device)
        pretrain(model, train, tokens, phase, config.seed, cpu, said.append)
    model = build_model(BertForSequenceClassification, config, tokens, None, cpu.device)
    assert model.config.num_hidden_layers == config.encoder.num_hidden_layers
    phase = config.finetune.model_copy(update=vars(two))
    labels = pairs.labels_N
    parts = (labels[split.train_rows], (valid, labels[split.valid_rows]))
    finetune(model, train, *parts, phase, config.seed, cpu, said.append)
    stages = [event.stage for event in said if isinstance(event, Progress) and event.step == event.total_steps == 2]
    assert stages == (["pretrain", "finetune"] if config.pretrain else ["finetune"])
