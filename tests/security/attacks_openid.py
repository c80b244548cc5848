"""Who comes in as somebody else by way of an OpenID provider. A real one, in a thread of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import uvicorn
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.main import create_app
from tests import openid_provider
from tests.security.house import House, refused
from tests.security.table import attack

LIES = ("nonce", "key", "issuer", "audience", "expiry")


@dataclass
class Door:
    """The house, whose people may come in by a provider."""

    house: House
    provider: httpx2.Client

    def browser(self) -> TestClient:
        """Somebody new."""
        return self.house.browser(self.house.address())

    def back(self, client: TestClient, start: str = "/sign-in/openid") -> str:
        """To the provider, and the address at which it sends the browser back."""
        left = client.get(start)
        assert left.status_code == 302, left.text
        there = urlsplit(self.provider.get(left.headers["location"]).headers["location"])
        return f"{there.path}?{there.query}"

    def through(self, client: TestClient, **person: Any) -> Any:
        """In, as this person of the provider."""
        openid_provider.PERSON.clear()
        openid_provider.PERSON.update(person)
        return client.get(self.back(client))


@contextmanager
def door(house: House) -> Iterator[Door]:
    """The same house, with the three values set."""
    server = uvicorn.Server(uvicorn.Config(lambda: None, host="127.0.0.1", port=0, lifespan="off", log_level="warning"))
    sockets = [server.config.bind_socket()]
    issuer = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    server.config.app = openid_provider.create(issuer, openid_provider.Client("bench", "provider secret"))
    thread = threading.Thread(target=server.run, args=(sockets,))
    thread.start()
    values = {"oidc_issuer": issuer, "oidc_client_id": "bench", "oidc_client_secret": SecretStr("provider secret")}
    made = create_app(house.app.state.settings.model_copy(update=values))
    kept, house.app = house.app, made
    try:
        while not server.started:
            time.sleep(0.01)
        with httpx2.Client(base_url=issuer) as provider:
            yield Door(house, provider)
    finally:
        house.app = kept
        openid_provider.LIE.clear()
        made.state.database.dispose()
        server.should_exit = True
        thread.join()


@attack("OpenID: an ID token of another audience, issuer, nonce or key, and one that has expired")
def id_tokens(house: House) -> None:
    with door(house) as stand:
        client = stand.browser()
        for lie in LIES:
            openid_provider.LIE[:] = [lie]
            told = refused(stand.through(client, sub="9", preferred_username="eve"), 401)
            assert "did not say who you are" in told, lie
            assert client.get("/").status_code == 303
        openid_provider.LIE.clear()
        assert stand.through(client, sub="9", preferred_username="eve").status_code == 303


@attack("OpenID: a state or a code replayed, of another browser, or that nobody drew")
def replayed(house: House) -> None:
    with door(house) as stand:
        eve, victim = stand.browser(), stand.browser()
        openid_provider.PERSON.update(sub="10", preferred_username="eve")
        back, path = stand.back(eve), "/sign-in/openid/back"
        stand.back(victim)
        refused(victim.get(back), 401)
        refused(victim.get(f"{path}?code=x&state=y"), 401)
        refused(victim.get(f"{path}?error=access_denied&state=y"), 401)
        refused(stand.browser().get(path), 401)
        assert victim.get("/").status_code == 303, "nobody signed the victim in as eve"
        assert eve.get(back).status_code == 303
        refused(eve.get(back), 401)
        asked = parse_qs(urlsplit(stand.browser().get("/sign-in/openid").headers["location"]).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert {"state", "nonce", "code_challenge"} <= asked.keys()


@attack("OpenID: the account of a member whose name or e-mail address somebody takes at the provider")
def same_name(house: House) -> None:
    with door(house) as stand:
        for number, claims in enumerate(
            (
                {"preferred_username": "ada", "email": "ada@bench.example", "email_verified": False},
                {"name": "ada", "email": "ada", "email_verified": True},
                {"preferred_username": " ada ", "role": "owner", "groups": ["owner", "admin"]},
            )
        ):
            client = stand.browser()
            assert stand.through(client, sub=f"same name {number}", **claims).status_code == 303
            told = client.get("/api/v1/me").json()
            assert told["name"] != "ada"
            assert (told["role"], told["scopes"]) == ("viewer", ["read"])


@attack("OpenID: a subject that begins as another's does")
def long_subject(house: House) -> None:
    with door(house) as stand:
        victim, eve = stand.browser(), stand.browser()
        stand.through(victim, sub="x" * 250 + "victim", preferred_username="victim")
        stand.through(eve, sub="x" * 250 + "evil", preferred_username="eve of 250")
        assert eve.get("/api/v1/me").json()["name"] != "victim"
        refused(stand.through(stand.browser(), sub="x" * 500 + "a", preferred_username="long a"), 401)
        refused(stand.through(stand.browser(), sub="x" * 500 + "b", preferred_username="long b"), 401)


@attack("OpenID: an account connected with the attacker's person at the provider, by a link of another site")
def connected(house: House) -> None:
    with door(house) as stand:
        victim = house.person()
        # another site has signed the victim's browser in at the provider as eve, and opens:
        openid_provider.PERSON.update(sub="of eve", preferred_username="eve")
        for guess in ("true", "1", "x" * 22, "%ff"):
            refused(victim.get(f"/sign-in/openid?connect={guess}"), 422)
        victim.get("/account")
        for guess in ("true", "", " "):
            answer = victim.get(f"/sign-in/openid?connect={guess or '%20'}")
            refused(answer, 422)
        eve = stand.browser()
        stand.through(eve, sub="of eve", preferred_username="eve")
        assert eve.get("/api/v1/me").json()["name"] != victim.headers["x-name"]
