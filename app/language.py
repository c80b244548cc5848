"""In which language a page, and an error that people see, is written: chosen by the browser or by the switch.

Called with literal messages everywhere (`make words` collects them); middleware chooses once a request. The catalogues
lie in app/locale/zh, one a room, and are read as they are: there is no compiled file that could be out of date.
"""

import io
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Literal

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ml.contract.words import TRANSLATOR

Language = Literal["en", "zh"]
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "中文"}
#: kept by the switch; without it the browser's Accept-Language decides
COOKIE = "pairboard_language"
LOCALE = Path(__file__).resolve().parent / "locale"

_current: ContextVar[Language] = ContextVar("language", default="en")


def current() -> Language:
    """The language of this request; English outside of one."""
    return _current.get()


def choose(language: Language) -> None:
    """Write in this language from here on, in this request or test."""
    _current.set(language)
    TRANSLATOR.set(lookup)  # the contract's messages, too


def gettext(message: str, /, **values: object) -> str:
    """The message in the language of this request, with its %(name)s filled in; a literal % is written %%."""
    return lookup(message) % values


def ngettext(one: str, many: str, num: int, /, **values: object) -> str:
    """The same for a number of things; %(num)d is the number."""
    return nlookup(one, many, num) % {"num": num, **values}


def N_(message: str) -> str:
    """Marks a constant's text for the catalogue; gettext(text) translates it where it is shown."""
    return message


def lookup(message: str) -> str:
    """The message in the language of this request, nothing filled in."""
    return message if current() == "en" or not message else translations("zh").gettext(message)


def nlookup(one: str, many: str, num: int) -> str:
    """The same for a number of things."""
    if current() == "en":
        return one if num == 1 else many
    return translations("zh").ngettext(one, many, num)


def catalogue_files(language: str) -> dict[str, Path]:
    """The catalogue of each room."""
    return {path.stem: path for path in sorted((LOCALE / language).glob("*.po"))}


def read_catalogue(path: Path, language: str) -> Catalog:
    """A room's catalogue. Raises babel's PoFileError, which names the line, when it is broken."""
    with path.open("rb") as file:
        return read_po(file, locale=language, charset="utf-8", abort_invalid=True)


@cache
def translations(language: str) -> GNUTranslations:
    """Every room's messages together."""
    whole = Catalog(locale=language)
    for path in catalogue_files(language).values():
        for message in read_catalogue(path, language):
            if message.id:
                whole[message.id] = message
    compiled = io.BytesIO()
    write_mo(compiled, whole)
    compiled.seek(0)
    return GNUTranslations(compiled)


def preferred(cookie: str, accepted: str) -> Language:
    """Of a request's Cookie and Accept-Language: the switch first, then the browser's highest weight, then English."""
    try:
        morsel = SimpleCookie(cookie).get(COOKIE)
    except CookieError:
        morsel = None
    for language in LANGUAGES:
        if morsel is not None and morsel.value == language:
            return language
    best: tuple[float, Language] = (0.0, "en")
    for part in accepted.split(","):
        tag, _, weight = part.partition(";")
        name = tag.strip().lower().split("-")[0]
        for language in LANGUAGES:
            if name == language and (heavy := _weight(weight)) > best[0]:
                best = heavy, language
    return best[1]


def _weight(text: str) -> float:
    """Of `q=0.8`; what is no number counts nothing (RFC 9110, 12.4.2)."""
    name, _, value = text.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 0.0
    except ValueError:
        return 0.0


class LanguageOfRequest:
    """ASGI middleware: chooses the language before anything of the request is written."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose and pass on. Nothing is put back after: a server runs each request in a context of its own."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            choose(preferred(headers.get("cookie", ""), headers.get("accept-language", "")))
        await self.app(scope, receive, send)
