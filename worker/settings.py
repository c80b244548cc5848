"""Everything a worker reads from its environment: one frozen value a process."""

import os
import re
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml.contract.logs import LogFormat, LogLevel

_QUEUE = r"[A-Za-z0-9_-]{1,60}"


class WorkerSettings(BaseSettings):
    """PAIRBOARD_WORKER_<FIELD>. Broker, queue, data folder and log are the app's own variables."""

    model_config = SettingsConfigDict(env_prefix="PAIRBOARD_WORKER_", frozen=True, extra="ignore")

    server: str = Field("http://127.0.0.1:8000", pattern=r"^https?://")
    token: SecretStr = SecretStr("")
    token_file: Path | None = None  # read when there is no token; `pairboard setup` and `up` write it
    name: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9._@:-]{0,99})?$")
    dir: Path | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)
    heartbeat_seconds: float = Field(10, gt=0)
    checkpoint_seconds: float = Field(60, ge=0, allow_inf_nan=False)  # what a run that loses its worker does again
    cache_gb: float = Field(50, gt=0, allow_inf_nan=False)  # fetched files and tokenised data, kept for later runs
    weights_dir: Path | None = None  # in it lie the folders of weights that experiments may name
    broker_url: SecretStr = Field(SecretStr("filesystem://"), validation_alias="PAIRBOARD_BROKER_URL")
    data_dir: Path = Field(Path("pairboard-data"), validation_alias="PAIRBOARD_DATA_DIR")
    queues: str = Field("", pattern=rf"^({_QUEUE}(,{_QUEUE})*)?$")  # divided by commas; empty: the app's own queue
    gpu: int | None = Field(None, ge=0)  # the card that this worker has for itself
    queue: str = Field("pairboard", validation_alias="PAIRBOARD_QUEUE")
    log_format: LogFormat = Field("text", validation_alias="PAIRBOARD_LOG_FORMAT")
    log_level: LogLevel = Field("info", validation_alias="PAIRBOARD_LOG_LEVEL")

    @field_validator("token")
    @classmethod
    def _is_a_token(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value() and not token.get_secret_value().startswith("pb-worker_"):
            raise ValueError(
                "a worker's token begins with pb-worker_; make one with: pairboard token add --scope worker"
            )
        return token

    @property
    def worker_name(self) -> str:
        """The name under which the app knows this worker; the host's (and the card's, if it has one) unless set."""
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:80].lstrip("._-") or "worker"
        return self.name or (host if self.gpu is None else f"{host}-gpu{self.gpu}")

    @property
    def queue_names(self) -> list[str]:
        """The queues that it listens on."""
        return list(dict.fromkeys(self.queues.split(","))) if self.queues else [self.queue]

    @property
    def folder(self) -> Path:
        """Where attempts, spooled events and fetched files lie."""
        return (self.dir or self.data_dir / "worker" / self.worker_name).resolve()


class SettingsError(Exception):
    """The environment does not make a worker; the message says which variable and what to do."""


def load() -> WorkerSettings:
    """Read the environment. Without PAIRBOARD_WORKER_TOKEN the file is read that `pairboard setup` or `up` left."""
    known = {f"PAIRBOARD_WORKER_{name.upper()}" for name in WorkerSettings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith("PAIRBOARD_WORKER_") and name not in known)
    if unknown:
        raise SettingsError(f"{unknown[0]} is not a setting of the worker: known are {', '.join(sorted(known))}")
    try:
        settings = WorkerSettings()
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False):
            field = str(item["loc"][0])
            name = field if field.startswith("PAIRBOARD_") else f"PAIRBOARD_WORKER_{field.upper()}"
            lines.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
        raise SettingsError("\n".join(lines)) from error
    if settings.token.get_secret_value():
        return settings
    file = settings.token_file or settings.data_dir / "worker-token"
    try:
        token = file.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"no worker token: set PAIRBOARD_WORKER_TOKEN (pairboard token add --scope worker), or start the app with "
            f"`pairboard up`, or after `pairboard setup`, which leave one in {file} ({error.strerror})"
        ) from error
    return settings.model_copy(update={"token": SecretStr(token)})
