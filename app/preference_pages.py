"""HTML: how a browser wants its pages, language and theme, kept in cookies; and what its keys do."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from app import root_path
from app.language import COOKIE as LANGUAGE_COOKIE
from app.language import Language
from app.preferences import THEME_COOKIE, Theme
from app.security import anyone
from app.web import page

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])
_YEAR = 365 * 86_400


@dataclass(frozen=True)
class KeyboardPage:
    """keyboard.html."""


@router.get("/keyboard")
def keyboard(request: Request) -> Response:
    """What keys do, for those to whom keys.js does not show it."""
    return page(request, "keyboard.html", KeyboardPage())


@router.post("/preferences")
def keep(
    request: Request,
    language: Annotated[Language | None, Form()] = None,
    theme: Annotated[Theme | None, Form()] = None,
) -> Response:
    """Keep them for a year, and go back to the page that they were chosen on."""
    answer = RedirectResponse(_back(request), 303)
    for cookie, value in ((LANGUAGE_COOKIE, language), (THEME_COOKIE, theme)):
        if value is not None:
            answer.set_cookie(cookie, value, max_age=_YEAR, samesite="lax", httponly=True)
    return answer


def _back(request: Request) -> str:
    """Path and query of the Referer, never its host: nobody is led to another site."""
    try:
        came_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:  # no address
        return "/"
    path = "/" + came_from.path.removeprefix(root_path.current()).lstrip("/\\")
    return f"{path}?{came_from.query}" if came_from.query else path
