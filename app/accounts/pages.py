"""HTML: signing in and out."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from app.accounts import service
from app.errors import NotSignedIn
from app.web import SessionDep, page

router = APIRouter()


@dataclass(frozen=True)
class SignInPage:
    """accounts/sign_in.html."""

    name: str
    error: str


@router.get("/sign-in")
def sign_in_form(request: Request) -> Response:
    """Name and password."""
    return page(request, "accounts/sign_in.html", SignInPage("", ""))


@router.post("/sign-in")
def sign_in(
    request: Request, session: SessionDep, name: Annotated[str, Form()], password: Annotated[str, Form()]
) -> Response:
    """Begin a session, or say again what is wrong."""
    try:
        member = service.sign_in(session, name, password)
    except NotSignedIn as error:
        return page(request, "accounts/sign_in.html", SignInPage(name, error.message), 401)
    request.session.clear()
    request.session["member"] = member.name
    return RedirectResponse("/", 303)


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session."""
    request.session.clear()
    return RedirectResponse("/sign-in", 303)
