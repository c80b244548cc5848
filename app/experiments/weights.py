"""Looks at a folder of weights before anything is queued, where worker and app are one machine. Called by the edges."""

import json
from pathlib import Path
from typing import NoReturn

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.settings import Settings
from ml.contract.experiment import ExperimentConfig


def require(config: ExperimentConfig, settings: Settings) -> None:
    """Raise Refused unless encoder.weights is a folder that the encoder can start from.

    Beyond loopback workers are other machines, whose disks the app can't see: there the run itself finds out.
    """
    if not config.encoder.weights or config.fusion is not None or not settings.on_loopback:
        return
    folder = Path(config.encoder.weights).expanduser()
    if not folder.is_dir():
        _refuse(
            "weights",
            _("there is no folder %(folder)s on this machine", folder=repr(str(folder))),
            config.encoder.weights,
        )
    if not (folder / "config.json").is_file():
        _refuse(
            "weights",
            _("%(folder)s has no config.json: name a folder in Hugging Face layout", folder=folder),
            config.encoder.weights,
        )
    if not any(folder.glob("model*.safetensors")):
        _refuse(
            "weights",
            _(
                "%(folder)s has no model.safetensors: convert the weights (pickled .bin files are never opened)",
                folder=folder,
            ),
            config.encoder.weights,
        )
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        _refuse(
            "weights",
            _("%(file)s can't be read (%(error)s)", file=folder / "config.json", error=error),
            config.encoder.weights,
        )
    if kind != config.encoder.model_type:
        _refuse(
            "model_type",
            _(
                "%(folder)s holds weights of type %(kind)s: set model_type to what they are",
                folder=folder,
                kind=repr(kind),
            ),
            config.encoder.model_type,
        )


def _refuse(name: str, message: str, value: str) -> NoReturn:
    raise Refused(f"encoder.{name}: {message}", [FieldError(f"encoder.{name}", message, value)])
