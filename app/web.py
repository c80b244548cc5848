"""What every route needs: the session of the request, and rendering a page from its dataclass."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import jinja2
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape
from sqlalchemy.orm import Session
from starlette.templating import Jinja2Templates

from app import language, preferences, queue, root_path, security
from app.contract_words import metric_title
from app.db import Database
from app.experiments.note import plain
from app.held_back import marked
from app.identity import Actor
from app.language import gettext as _
from app.root_path import AddressesFromRoot, in_message
from app.schema import folder
from app.settings import Settings
from app.storage import Storage
from app.texts import in_bytes

STATIC = Path(__file__).resolve().parent / "static"


async def _turn(request: Request) -> AsyncIterator[None]:
    """At most HELD_BY_REQUESTS requests have a session; the others wait here, where they hold no thread."""
    turns: asyncio.Semaphore = request.app.state.turns
    async with turns:
        yield


def _session(request: Request, _turn: Annotated[None, Depends(_turn, scope="function")]) -> Iterator[Session]:
    """Request = transaction: commits before the answer leaves (function scope), then rings for the runs noted."""
    database: Database = request.app.state.database
    if request.method in {"GET", "HEAD"}:
        with database.reading() as session:
            yield session
        return
    with database.writing() as session:
        yield session
    if bells := queue.noted(session):
        doorbell: queue.Doorbell = request.app.state.doorbell
        doorbell.ring(bells)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


SessionDep = Annotated[Session, Depends(_session, scope="function")]
SettingsDep = Annotated[Settings, Depends(_settings)]
StorageDep = Annotated[Storage, Depends(_storage)]


@cache
def templates() -> Jinja2Templates:
    """The template engine; an undefined name is an error. Every template ends in .html: others would not be escaped."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["when"] = when
    env.filters["ago"] = ago
    env.filters["duration"] = duration
    env.filters["bytes"] = in_bytes
    env.filters["plain_value"] = plain_value
    env.filters["commands"] = commands
    env.filters["metric_title"] = metric_title
    env.globals["static"] = lambda name: root_path.current() + static_url(name)
    env.globals["bokeh"] = lambda name: root_path.current() + bokeh_url(name)
    env.add_extension(AddressesFromRoot)
    env.filters["plain_note"] = plain
    env.globals["zip"] = zip
    env.globals["language"] = language.current
    env.add_extension("jinja2.ext.i18n")
    env.policies["ext.i18n.trimmed"] = True
    env.install_gettext_callables(_lookup, _nlookup, newstyle=True)  # type: ignore[attr-defined]
    env.globals["gettext"] = env.globals["_"] = _gettext
    return Jinja2Templates(env=env)


def _gettext(message: str, /, **values: object) -> Markup:
    """As jinja's own does it. That takes five times as long, and a page has hundreds of messages."""
    return Markup(_lookup(message)) % values if values else _plain(message, language.current(), root_path.current())  # noqa: S704 - ours


@lru_cache(maxsize=8192)
def _plain(message: str, _language: str, _root: str) -> Markup:
    """A message with nothing to fill in, once for each language and root."""
    return Markup(_lookup(message) % {})  # noqa: S704 - ours


def _lookup(message: str) -> str:
    return in_message(language.lookup(message))


def _nlookup(one: str, many: str, num: int) -> str:
    return in_message(language.nlookup(one, many, num))


def site_url(request: Request) -> str:
    """Where we are reached from outside, as whoever asks reached us: for commands that people copy."""
    return f"{request.url.scheme}://{request.url.netloc}{root_path.current()}"


def page(
    request: Request, template: str, context: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """Render `template` with the fields of a page dataclass."""
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    theme = preferences.theme_of(request)
    values |= {
        **_asker(request),
        "theme": theme,
        "next_theme": preferences.next_theme(theme),
        "themes": preferences.THEMES,
    }
    html = templates().env.get_template(template).render({"request": request, **values})
    return HTMLResponse(held_back(request, html), status_code, headers)


def held_back(request: Request, html: str) -> str:
    """A page or a part of one as who asks gets it: buttons that would be refused are switched off."""
    if security.may_everything(request):
        return html
    root, seen = root_path.current(), dict[tuple[str, str, str], str]()

    def refusal(method: str, path: str, named: Mapping[str, str]) -> str:
        asked = method, path.removeprefix(root), named.get("slug", "")
        if asked not in seen:
            seen[asked] = security.refusal(request, method, asked[1], named)
        return seen[asked]

    return marked(html, refusal)


def _asker(request: Request) -> dict[str, Any]:
    """What every page shows of who asks; nobody on an error before anybody was known."""
    who: Actor | None = getattr(request.state, "actor", None)
    return {
        "asker": who,
        "signed_in": who.name if who and who.kind == "member" else "",
        "is_local": who is not None and who.kind == "local",
        "is_owner": who is not None and "admin" in who.scopes,
        "owns": lambda contest_id: who is not None and "admin" in who.special.get(contest_id, ()),
    }


@cache
def static_url(name: str) -> str:
    """Address of a file of ours; changes with its content, so that browsers may keep it for good."""
    return f"/static/{name}?v={(STATIC / name).stat().st_mtime_ns:x}"


def bokeh_files() -> Path:
    """Where its package keeps what browsers load; the package itself, which is large, is not imported."""
    found = find_spec("bokeh")
    assert found is not None  # noqa: S101 - pyproject.toml names it
    assert found.submodule_search_locations  # noqa: S101 - a package
    return Path(found.submodule_search_locations[0]) / "server" / "static" / "js"


@cache
def bokeh_url(name: str) -> str:
    """Address of a file of Bokeh's."""
    return f"/bokeh/{name}?v={version('bokeh')}"


def when(moment: datetime | None) -> str:
    """How long ago, with the exact time on hover; times.js writes both for the reader's zone."""
    if moment is None:
        return _("never")
    exact = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC" data-ago>{}</time>').format(
        exact.isoformat(), exact.strftime("%Y-%m-%d %H:%M:%S"), ago(moment)
    )


def ago(moment: datetime | None) -> str:
    """`3 min ago`."""
    if moment is None:
        return _("never")
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < 5:
        return _("just now")
    return _("%(duration)s ago", duration=duration(seconds))


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `5 d`."""
    seconds = max(0, round(seconds))
    if seconds < 100:
        return _("%(count)s s", count=seconds)
    if seconds < 5400:
        return _("%(count)s min", count=round(seconds / 60))
    if seconds < 172_800:
        return _("%(hours)s h %(minutes)s min", hours=seconds // 3600, minutes=seconds % 3600 // 60)
    return _("%(count)s d", count=seconds // 86400)


def plain_value(value: Any) -> str:
    """A value of a config as a page shows it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if isinstance(value, list | tuple):
        return ", ".join(plain_value(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain_value(item)}" for name, item in value.items())
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def commands(text: str) -> Markup:
    """A sentence with what stands in `backquotes` as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped
