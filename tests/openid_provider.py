"""A small OpenID provider for tests, a program of its own: Authlib's authorization server over plain http.

`python -m tests.openid_provider PORT CLIENT_ID CLIENT_SECRET`: whoever asks to sign in is who POST /be said last. With
POST /lie the next ID token is wrong in the way that is named.
"""

import json
import os
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import uvicorn
from authlib.oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from fastapi import FastAPI, Request
from joserfc.jwk import RSAKey
from starlette.responses import Response

KEY = RSAKey.generate_key(2048, {"kid": "of this start", "use": "sig", "alg": "RS256"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "of this start", "use": "sig", "alg": "RS256"})
PERSON: dict[str, Any] = {"sub": "1", "preferred_username": "grace"}
LIE: list[str] = []


@dataclass
class Client(ClientMixin):
    """The one client, which may come from anywhere: a test's port is drawn."""

    id: str
    secret: str

    def get_client_id(self) -> str:
        return self.id

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.endswith("/sign-in/openid/back")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):
    """What was promised to whom."""

    code: str
    asked: dict[str, Any]
    person: dict[str, Any]
    made: int = field(default_factory=lambda: int(time.time()))

    @property
    def code_challenge(self) -> str | None:
        return self.asked.get("code_challenge")

    @property
    def code_challenge_method(self) -> str | None:
        return self.asked.get("code_challenge_method")

    def get_redirect_uri(self) -> str | None:
        return self.asked.get("redirect_uri")

    def get_scope(self) -> str:
        return str(self.asked.get("scope", ""))

    def get_nonce(self) -> str | None:
        return "another" if LIE == ["nonce"] else self.asked.get("nonce")

    def get_auth_time(self) -> int:
        return self.made

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


CODES: dict[str, Code] = {}


class Grant(AuthorizationCodeGrant):
    """Authorization code."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: OAuth2Request) -> Code:
        CODES[code] = Code(code, dict(request.payload.data), dict(request.user))
        return CODES[code]

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del CODES[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
        return authorization_code.person


class Tokens(OpenIDCode):
    """The ID token."""

    def __init__(self, issuer: str) -> None:
        super().__init__(require_nonce=True)
        self.issuer = issuer

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return any(code.asked.get("nonce") == nonce for code in CODES.values())

    def resolve_client_private_key(self, client: Client) -> RSAKey:
        return OTHER_KEY if LIE == ["key"] else KEY

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": "http://elsewhere" if LIE == ["issuer"] else self.issuer}

    def get_client_algorithm(self, client: Client) -> str:
        return "RS256"

    def get_encode_header(self, client: Client) -> dict[str, Any]:
        return {"alg": "RS256", "kid": "of this start"}

    def generate_user_info(self, user: dict[str, Any], scope: str) -> UserInfo:
        if LIE == ["audience"]:
            return UserInfo(user | {"aud": ["another client"]})
        return UserInfo(user | ({"exp": int(time.time()) - 3600} if LIE == ["expiry"] else {}))


class Asked(OAuth2Request):
    """What came in, by address or form."""

    def __init__(self, method: str, uri: str, headers: Any, data: dict[str, str]) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload = Payload(data)
        self._form = data

    @property
    def form(self) -> dict[str, str]:
        return self._form

    @property
    def args(self) -> dict[str, str]:
        return self._form


class Payload(OAuth2Payload):
    """Its fields."""

    def __init__(self, data: dict[str, str]) -> None:
        self._data = data

    @property
    def data(self) -> dict[str, str]:
        return self._data

    @property
    def datalist(self) -> "defaultdict[str, list[str]]":
        return defaultdict(list, {name: [value] for name, value in self._data.items()})


class Server(AuthorizationServer):
    """Authlib's, over Starlette."""

    def __init__(self, issuer: str, client: Client) -> None:
        super().__init__()
        self.client = client
        tokens = BearerTokenGenerator(lambda *args, **named: os.urandom(16).hex())
        self.register_token_generator("default", tokens)
        self.register_grant(Grant, [Tokens(issuer), CodeChallenge(required=True)])

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == self.client.id else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        pass

    def send_signal(self, name: str, *args: Any, **named: Any) -> None:
        pass

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        text = json.dumps(body) if isinstance(body, dict) else body or ""
        return Response(text, status, dict(headers))


async def asked(request: Request) -> Asked:
    """Read it."""
    form = dict(await request.form()) if request.method == "POST" else {}
    data = {**dict(request.query_params), **{name: str(value) for name, value in form.items()}}
    return Asked(request.method, str(request.url), request.headers, data)


def create(issuer: str, client: Client) -> FastAPI:
    """The provider."""
    app, server = FastAPI(), Server(issuer, client)

    @app.get("/.well-known/openid-configuration")
    def metadata() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
        }

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [KEY.as_dict(private=False)]}

    @app.get("/authorize")
    async def authorize(request: Request) -> Response:
        found = await asked(request)
        grant = server.get_consent_grant(found, PERSON)
        return server.create_authorization_response(found, PERSON, grant)

    @app.post("/token")
    async def token(request: Request) -> Response:
        return server.create_token_response(await asked(request))

    @app.post("/be")
    async def be(request: Request) -> None:
        PERSON.clear()
        PERSON.update(await request.json())

    @app.post("/lie")
    async def lie(request: Request) -> None:
        LIE[:] = [word for word in [(await request.json())["about"]] if word]

    return app


if __name__ == "__main__":
    port, client_id, secret = sys.argv[1:]
    app = create(f"http://127.0.0.1:{port}", Client(client_id, secret))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
