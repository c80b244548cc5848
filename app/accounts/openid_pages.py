"""HTML: signing in with an OpenID provider (PAIRBOARD_OIDC_ISSUER, _CLIENT_ID, _CLIENT_SECRET).

Authlib speaks with it: discovery, PKCE, state, nonce, and the checks of the ID token. At the provider,
<this server>/sign-in/openid/back is to be registered as the address to come back to.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.accounts import openid, queries
from app.accounts.models import Member
from app.accounts.pages import CONNECT_WORD, begin, refused
from app.db import Database
from app.errors import AppError, NotFound, NotSignedIn, Refused
from app.identity import Actor
from app.language import gettext as _
from app.security import anyone
from app.settings import Settings
from app.web import site_url

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])
BACK = "/sign-in/openid/back"


def _provider(request: Request) -> Any:
    """Authlib's client, one an app: it keeps what it discovered. Raises NotFound where none is set up."""
    settings: Settings = request.app.state.settings
    if not settings.openid:
        raise NotFound(_("no OpenID provider is set up here: see PAIRBOARD_OIDC_ISSUER"))
    if not hasattr(request.app.state, "openid"):
        from authlib.integrations.starlette_client import OAuth  # here: cryptography is read by who needs it alone

        request.app.state.openid = OAuth().register(
            "provider",
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            server_metadata_url=f"{settings.oidc_issuer}/.well-known/openid-configuration",
            client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 10},
        )
    return request.app.state.openid


@router.get("/sign-in/openid")
async def leave(request: Request, connect: str = "") -> Response:
    """To the provider. `connect`: the member who is signed in wants to sign in there from now on; by the word of the
    own account page, or a link of another site could give the account to who is signed in at the provider.

    async: Authlib is; it waits for the provider and for nothing of ours.
    """
    provider = _provider(request)
    wanted = str(request.session.pop(CONNECT_WORD, ""))
    if connect and not (wanted and secrets.compare_digest(wanted.encode(), connect.encode("utf-8", "replace"))):
        raise Refused(_("this link is not of your account page, or was used: go there and try again"))
    who: Actor | None = getattr(request.state, "actor", None)
    request.session["openid_connect"] = who.member_id if connect and who else None
    back = f"{site_url(request)}{BACK}"
    try:
        answer: Response = await provider.authorize_redirect(request, back)
    except Exception as error:  # whatever a network and a foreign server may do
        return await run_in_threadpool(_failed, request, error)
    return answer


@router.get(BACK)
async def back(request: Request) -> Response:
    """From the provider, which says who it is."""
    provider = _provider(request)
    try:
        token = await provider.authorize_access_token(request)
        claims: Mapping[str, Any] = token["userinfo"]
        if not claims.get("sub"):
            raise KeyError("sub")
    except Exception as error:  # as above; an ID token that is not right, too
        return await run_in_threadpool(_failed, request, error)
    return await run_in_threadpool(_arrived, request, claims)


def _failed(request: Request, error: Exception) -> Response:
    """The sign-in page says so; the log says why."""
    log.warning("signing in with the OpenID provider failed: %s: %s", type(error).__name__, error)
    message = _("the provider did not say who you are (%(error)s): try again", error=type(error).__name__)
    return refused(request, request.app.state.database, "", NotSignedIn(message))


def _arrived(request: Request, claims: Mapping[str, Any]) -> Response:
    database: Database = request.app.state.database
    who: Actor | None = getattr(request.state, "actor", None)
    connecting = request.session.pop("openid_connect", None)
    try:
        with database.writing() as session:
            if connecting is not None and who is not None and who.member_id is not None:
                if who.member_id != connecting:
                    raise NotSignedIn(_("somebody else is signed in here by now: try again"))
                _connect(request, session, queries.member(session, who.member_id), claims)
                return RedirectResponse("/account", 303)
            member = openid.member_of(session, _issuer(request), claims)
            request.state.actor = Actor(member.name, "member", member_id=member.id)  # for the audit log
            return begin(request, session, member, RedirectResponse("/", 303))
    except NotSignedIn as error:
        return refused(request, database, "", error)


def _connect(request: Request, session: Session, member: Member, claims: Mapping[str, Any]) -> None:
    try:
        openid.connect(session, member, _issuer(request), claims)
        request.session["told"] = _("You can sign in with the provider from now on.")
    except AppError as error:
        request.session["told"] = error.message


def _issuer(request: Request) -> str:
    settings: Settings = request.app.state.settings
    return settings.oidc_issuer
