"""Secrets of webhooks lie in the database encrypted under PAIRBOARD_SECRET, and sign as before."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select, text
from starlette.testclient import TestClient

from app import schema
from app.db import Database
from app.errors import AppError
from app.main import create_app
from app.settings import Settings
from app.webhooks import vault
from app.webhooks.models import Webhook
from app.webhooks.postman import Postman
from app.webhooks.sending import new_secret
from tests.app.webhooks.conftest import Receiver
from tests.app.webhooks.test_webhooks import HOOKS, added
from tests.factories import contest_over_http

SECRET, OTHER = "s" * 40, "t" * 40


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow": "127.0.0.0/8", "secret": SecretStr(SECRET)})


def kept(app: FastAPI) -> str:
    with app.state.database.reading() as session:
        return session.scalars(select(Webhook.secret)).one()


def is_signed_with(secret: str, receiver: Receiver) -> bool:
    _path, headers, body = receiver.got[-1]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


def deliver(app: FastAPI, **changes: object) -> int:
    return Postman(app.state.settings.model_copy(update=changes), app.state.database).deliver()


def test_what_is_kept_is_encrypted_and_what_is_sent_is_signed(
    client: TestClient, app: FastAPI, receiver: Receiver
) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    assert hook["secret"].startswith("whsec_")
    assert hook["secret"] not in kept(app)
    assert vault.opened(kept(app), SECRET) == hook["secret"]
    client.post(f"{HOOKS}/{hook['id']}/test")
    assert deliver(app) == 1
    assert is_signed_with(hook["secret"], receiver)


def test_under_another_secret_nothing_is_sent_until_there_is_a_new_one(
    client: TestClient, app: FastAPI, receiver: Receiver
) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    for number, changed in enumerate((SecretStr(OTHER), SecretStr("")), 1):
        client.post(f"{HOOKS}/{hook['id']}/test")
        assert deliver(app, secret=changed) == 1
        told = client.get(f"{HOOKS}/{hook['id']}/deliveries").json()[0]
        assert (told["outcome"], told["tries"]) == ("waiting", 1), number
        assert "encrypted under another PAIRBOARD_SECRET: make a new one" in told["last_error"]
    assert receiver.got == []
    app.state.settings = app.state.settings.model_copy(update={"secret": SecretStr(OTHER)})
    page = "/contests/oppo/webhooks"
    assert "Nothing can be signed" in client.get(page).text
    renewed = client.post(f"{page}/{hook['id']}", data={"action": "secret"})
    assert renewed.headers["cache-control"] == "no-store"
    assert "Nothing can be signed" not in renewed.text
    again = client.post(f"{HOOKS}/{hook['id']}/secret").json()["secret"]
    assert again not in renewed.text
    client.post(f"{HOOKS}/{hook['id']}/test")
    assert deliver(app) == 1
    assert is_signed_with(again, receiver)


def test_those_of_a_time_without_a_secret_are_encrypted_as_the_server_starts(app: FastAPI, client: TestClient) -> None:
    contest_over_http(client)
    plain = new_secret()
    with app.state.database.writing() as session:
        session.execute(text(INSERT), {"secret": plain})
    made = create_app(app.state.settings)
    assert plain not in kept(made)
    assert vault.opened(kept(made), SECRET) == plain
    once = kept(made)
    made.state.database.dispose()
    create_app(app.state.settings).state.database.dispose()
    assert kept(app) == once, "a second start changes nothing"


INSERT = (
    "INSERT INTO webhooks (url, secret, events, created_by, created_at) "
    "VALUES ('https://x.example/', :secret, '[]', 'ada', '2026-01-01 00:00:00')"
)


def test_the_migration_encrypts_what_is_there_and_gives_it_back(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)
    engine, before, plain = database.write_engine, "20261127_audit_replace", new_secret()
    schema.upgrade(engine, before)

    def secret() -> str:
        with database.reading() as session:
            return session.execute(text("SELECT secret FROM webhooks")).scalar_one()

    with database.writing() as session:
        session.execute(text(INSERT), {"secret": plain})
    schema.upgrade(engine, "20261127_webhook_secrets", copy=False)
    assert secret() == plain, "nobody knows a secret to encrypt it under"
    monkeypatch.setenv("PAIRBOARD_SECRET", SECRET)
    schema.downgrade(engine, before)
    schema.upgrade(engine, "20261127_webhook_secrets", copy=False)
    assert vault.opened(secret(), SECRET) == plain
    assert plain not in secret()
    monkeypatch.setenv("PAIRBOARD_SECRET", OTHER)
    with pytest.raises(AppError, match="another PAIRBOARD_SECRET"):
        schema.downgrade(engine, before)
    assert vault.opened(secret(), SECRET) == plain, "and stays as it is"
    monkeypatch.setenv("PAIRBOARD_SECRET", SECRET)
    schema.downgrade(engine, before)
    assert secret() == plain
    database.dispose()
