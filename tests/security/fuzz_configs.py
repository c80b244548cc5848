"""Configs of every version, and their JSON text: they are upgraded, or refused with a message."""

import json
from functools import cache
from random import Random
from typing import Any

from app.errors import Refused
from app.experiments import config_json
from app.experiments.service import build_config
from ml.contract.encoder_config import SIZES, Size
from ml.contract.experiment import ExperimentConfig, merge, upgrade
from ml.contract.presets import PRESETS, preset
from tests.security.fuzz_mutation import as_json, changed, mutated
from tests.security.fuzz_seeds import corpus, of_model
from tests.security.fuzz_workshop import Workshop


def _good(config: dict[str, Any]) -> bool:
    try:
        upgrade(config)
    except ValueError:
        return False
    return True


@cache
def good_configs() -> list[dict[str, Any]]:
    """Every preset, and what hypothesis draws from the fields."""
    presets = [preset(name).model_dump(mode="json") for name in PRESETS]
    drawn = corpus(of_model(ExperimentConfig), 300, _good)
    # one group at a time is drawn more often than a whole that fits together
    merged = [merge(base, one) for base in presets for one in drawn[:20]]
    return presets + drawn + [config for config in merged if _good(config)]


@cache
def _texts() -> list[bytes]:
    return [json.dumps(config, indent=1).encode() for config in good_configs()]


def draw_config(draw: Random) -> dict[str, Any]:
    """Of version 1, 2 or none, good or with parts that do not belong there."""
    config = dict(draw.choice(good_configs()))
    kind = draw.randrange(4)
    if kind == 0:
        config["version"] = 1
        if draw.random() < 0.5:
            config["data"] = {k: v for k, v in config.get("data", {}).items() if k != "split_seed"}
    elif kind == 1:
        config.pop("version", None)
    found = changed(draw, config) if draw.random() < 0.8 else config
    return found if isinstance(found, dict) else {"data": found}


def check_config(given: dict[str, Any], _workshop: Workshop) -> bool:
    """Only ValueError; what is upgraded stays as it is when it is upgraded again, and is JSON."""
    kept = repr(given)
    try:
        config = upgrade(given)
    except ValueError as error:
        assert str(error)
        if len(kept) % 4:
            return False
        try:  # as the REST API does
            build_config("", given)
        except (Refused, UnicodeEncodeError) as refused:  # main has a handler for half a character
            assert isinstance(refused, UnicodeEncodeError) or all(item.message for item in refused.fields)
        return False
    assert repr(given) == kept, "what was stored was changed"
    text = json.dumps(config.model_dump(mode="json"), allow_nan=False).encode()
    assert upgrade(json.loads(text)) == config
    if given.get("version") == 1 and "split_seed" not in (given.get("data") or {}):
        assert config.data.split_seed == config.seed, "version 1 had one seed for everything"
    for name in ("finetune", "encoder", "tokens"):
        for field, value in (given.get(name) or {}).items():
            if field in Size._fields and given[name].get("size") in SIZES:
                continue  # the numbers of another named size: those of the one that is named stand for them
            told = getattr(getattr(config, name), field)
            assert isinstance(told, (str, bool)) or float(told) == float(value), f"{name}.{field} was {value!r}"
    return True


def draw_text(draw: Random) -> str:
    """JSON of a config, changed as a tree or as text."""
    text = as_json(draw, draw_config(draw)) if draw.random() < 0.5 else draw.choice(_texts())
    if draw.random() < 0.7:
        text = mutated(draw, text, _texts())
    if draw.random() < 0.01:
        text = draw.choice((b"[", b'{"a":', b'{"data":[')) * draw.choice((90, 900, 1100, 50_000)) + text
    return text.decode("utf-8", draw.choice(("replace", "surrogatepass", "ignore")) if _whole(text) else "replace")


def _whole(text: bytes) -> bool:
    try:
        text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def check_text(text: str, _workshop: Workshop) -> bool:
    """A config, or errors that each say something, short enough for a page."""
    parsed = config_json.read(text)
    if parsed.config is None:
        assert parsed.errors
        for error in parsed.errors:
            assert error.field
            assert error.message
            assert len(error.message) < 2000, "a message is as long as what was typed"
        return False
    assert not parsed.errors
    assert config_json.read(config_json.write(parsed.config.model_dump(mode="json"))).config == parsed.config
    return True
