"""Everything the app reads from its environment: one frozen value a process, made in `load`.

Called by cli (and by tests, which build Settings directly). Each field is the variable PAIRBOARD_<FIELD>.
"""

import difflib
import os
from ipaddress import ip_network
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.errors import AppError
from ml.contract.logs import LogFormat, LogLevel

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
#: names to bind to, under which nobody can be called
EVERYWHERE = {"0.0.0.0", "::", "localhost"}  # noqa: S104 - names to compare with


class Settings(BaseSettings):
    """The defaults are the embedded set-up: SQLite and a broker of plain files in the data folder."""

    model_config = SettingsConfigDict(env_prefix="PAIRBOARD_", frozen=True, extra="ignore")

    data_dir: Path = Path("pairboard-data")
    database_url: SecretStr = Field(SecretStr(""), description="empty: SQLite in the data folder")
    broker_url: SecretStr = Field(SecretStr("filesystem://"), description="filesystem:// or redis://…")
    queue: str = Field("pairboard", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    web_processes: int = Field(1, ge=1, le=64, description="processes that serve the port together")
    secret: SecretStr = Field(SecretStr(""), description="signs the cookie of a browser; needed beyond loopback")
    token_requests_per_minute: int = Field(1200, ge=0, description="of one token; a worker's may ten times; 0: any")
    allowed_hosts: str = Field("", description="extra Host names to answer to, divided by commas; * any")
    trusted_proxies: str = Field("", description="addresses or networks whose X-Forwarded-… count, divided by commas")
    https: bool = Field(False, description="browsers reach us by https alone, though no trusted proxy says so")
    hsts_days: int = Field(365, ge=0, le=3650, description="for which browsers keep to https; 0: they are not told to")
    root_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="path under which a proxy serves us")
    lease_seconds: float = Field(900, ge=1, description="a worker silent for longer loses its run")
    log_format: LogFormat = Field("text", description="json: one object a line, for programs")
    log_level: LogLevel = "info"
    sweep_seconds: float = Field(2, ge=0.1, description="pause between looks at the queue")
    max_upload_mb: int = Field(4096, ge=1)
    max_body_mb: int = Field(8, ge=8, description="of what is not a file; a worker's piece of a file has 4")
    webhook_allow: str = Field("", description="hosts and networks that webhooks may reach though they are not public")
    worker_token_file: Path | None = Field(None, description="empty: worker-token in the data folder")
    retain_event_days: float = Field(0, ge=0, description="0: all progress of ended runs is kept")
    retain_points: int = Field(500, ge=50, description="progress events of an attempt that thinning leaves")
    retain_worker_days: float = Field(0, ge=0, description="0: workers stay on the list however long they are silent")
    retain_unnamed_hours: float = Field(24, ge=1, description="a file that no row names may be of an upload under way")

    oidc_issuer: str = Field(
        "", description="address of an OpenID provider; with its two companions people sign in there"
    )
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")

    @field_validator("oidc_issuer")
    @classmethod
    def _an_address(cls, issuer: str) -> str:
        if issuer and not issuer.startswith(("https://", "http://")):
            raise ValueError("use the provider's issuer, as https://accounts.example")
        return issuer.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: SecretStr) -> SecretStr:
        value = url.get_secret_value()
        if value and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("use sqlite:///file.db or postgresql://user:password@host/database")
        return url

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("filesystem://", "redis://", "rediss://")):
            raise ValueError("use filesystem:// (files in the data folder) or redis://host:6379/0")
        return url

    @field_validator("secret")
    @classmethod
    def _long_secret(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < 32:
            raise ValueError("at least 32 characters; make one with: openssl rand -hex 32")
        return secret

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, text: str) -> str:
        for part in divided(text):
            try:
                ip_network(part)
            except ValueError as error:
                raise ValueError(f"{error}: addresses or networks (10.0.0.0/8), divided by commas") from error
        return text

    @property
    def database(self) -> str:
        """The database address, password included: for engines, never for messages."""
        return self.database_url.get_secret_value() or f"sqlite:///{(self.data_dir / 'pairboard.db').resolve()}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the app."""
        return self.host in LOOPBACK_HOSTS

    @property
    def openid(self) -> bool:
        """Whether people may sign in with an OpenID provider."""
        return bool(self.oidc_issuer)

    @property
    def own_host(self) -> str:
        """Where this machine reaches the web server."""
        return "127.0.0.1" if self.host in EVERYWHERE else self.host

    @property
    def own_url(self) -> str:
        """The web server's address on this machine."""
        return f"http://{f'[{self.own_host}]' if ':' in self.own_host else self.own_host}:{self.port}"

    @property
    def token_file(self) -> Path:
        """Where `pairboard up` and `setup` leave the token of their own workers; readable by the owner alone."""
        return self.worker_token_file or self.data_dir / "worker-token"


def is_loopback_name(host: str) -> bool:
    """Whether a Host header, with its port or without, calls this machine by a name that only itself has."""
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOOPBACK_HOSTS


def divided(text: str) -> list[str]:
    """The parts of a setting that holds several, divided by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def load() -> Settings:
    """Read the environment. Raises AppError that names each variable, its value and the way out."""
    problems = [*_unknown_names()]
    try:
        settings = Settings()
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = "PAIRBOARD_" + "_".join(str(part) for part in item["loc"]).upper()
            secret = name in {
                "PAIRBOARD_SECRET",
                "PAIRBOARD_DATABASE_URL",
                "PAIRBOARD_BROKER_URL",
                "PAIRBOARD_OIDC_CLIENT_SECRET",
            }
            value = "(hidden)" if secret else repr(os.environ.get(name))
            problems.append(f"{name}={value}: {item['msg'].removeprefix('Value error, ')}")
        raise AppError("\n".join(problems)) from error
    if problems:
        raise AppError("\n".join(problems))
    return settings


def _unknown_names() -> list[str]:
    """A misspelt variable would silently leave the default in force."""
    known = {f"PAIRBOARD_{name.upper()}" for name in Settings.model_fields}
    unknown = [
        name
        for name in os.environ
        if name.startswith("PAIRBOARD_")
        and name not in known
        and not name.startswith(("PAIRBOARD_WORKER_", "PAIRBOARD_TEST_"))
    ]
    problems = []
    for name in sorted(unknown):
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
        problems.append(f"{name} is not a setting of pairboard: {hint}")
    return problems
