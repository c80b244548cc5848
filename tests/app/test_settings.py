"""Environment variables: a wrong or misspelt one is named with the way out, and a secret is never shown."""

import pytest

from app.errors import AppError
from app.settings import load
from worker.settings import SettingsError
from worker.settings import load as load_worker


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PAIRBOARD_PORT", "eighty", r"PAIRBOARD_PORT='eighty': .*integer"),
        ("PAIRBOARD_PORT", "99999", r"PAIRBOARD_PORT='99999': .*65535"),
        ("PAIRBOARD_WEB_PROCESSES", "0", r"PAIRBOARD_WEB_PROCESSES='0': .*greater than or equal to 1"),
        ("PAIRBOARD_DATABASE_URL", "mysql://u:hush@h/d", r"PAIRBOARD_DATABASE_URL=\(hidden\): use sqlite:///"),
        ("PAIRBOARD_BROKER_URL", "amqp://u:hush@h", r"PAIRBOARD_BROKER_URL=\(hidden\): use filesystem://"),
        ("PAIRBOARD_SECRET", "hush", r"PAIRBOARD_SECRET=\(hidden\): at least 32 characters"),
        ("PAIRBOARD_PROT", "80", r"PAIRBOARD_PROT is not a setting of pairboard: did you mean PAIRBOARD_PORT\?"),
    ],
)
def test_wrong_settings(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(AppError, match=message) as error:
        load()
    assert "hush" not in str(error.value)


def test_all_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_PORT", "x")
    monkeypatch.setenv("PAIRBOARD_DATADIR", "y")
    with pytest.raises(AppError) as error:
        load()
    assert "PAIRBOARD_PORT" in error.value.message
    assert "did you mean PAIRBOARD_DATA_DIR?" in error.value.message


def test_defaults_need_nothing() -> None:
    settings = load()
    assert settings.on_loopback
    assert settings.database.startswith("sqlite:////")
    assert settings.broker_url.get_secret_value() == "filesystem://"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PAIRBOARD_WORKER_TOKEN", "pb-member_x", "PAIRBOARD_WORKER_TOKEN: a worker's token begins with pb-worker_"),
        ("PAIRBOARD_WORKER_SERVER", "bench.example", "PAIRBOARD_WORKER_SERVER: "),
        ("PAIRBOARD_WORKER_DEVICE", "gpu", "PAIRBOARD_WORKER_DEVICE: "),
        ("PAIRBOARD_WORKER_SEVER", "http://x", "PAIRBOARD_WORKER_SEVER is not a setting of the worker"),
        ("PAIRBOARD_WORKER_NAME", "w1", "no worker token: set PAIRBOARD_WORKER_TOKEN"),
    ],
)
def test_wrong_worker_settings(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", "/nowhere")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_worker()
    assert message in str(error.value)
