"""Buttons that would be refused to who looks at a page: they are shown, switched off, with the reason.

One place, by what the routes declare (app.security.needs): no template knows roles. Called by web.page with each page,
and by what sends a part of one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from urllib.parse import urlsplit

from app.language import gettext as _

_TAG = re.compile(
    r"<(?P<name>/?form|button|input|select|textarea)(?P<rest>(?:\s(?:[^>\"']|\"[^\"]*\"|'[^']*')*)?)>", re.IGNORECASE
)
_ATTRIBUTE = re.compile(r"\s([a-z-]+)(?:=\"([^\"]*)\"|=([^\s\"'>]+))?", re.IGNORECASE)
_TITLE = re.compile(r"\stitle=\"[^\"]*\"")
_MAIN = '<main id="main">'
#: why a request of this method to this address would be refused, "" if not; named: what the form says beside the path
Refusal = Callable[[str, str, Mapping[str, str]], str]


@dataclass
class _Control:
    """A field or button: where its attributes stand in the page, and what they say."""

    place: tuple[int, int]
    name: str
    given: dict[str, str]

    @property
    def submits(self) -> bool:
        """Whether pressing it sends the form."""
        kind = self.given.get("type", "submit" if self.name == "button" else "text")
        return kind in {"submit", "image"}


@dataclass
class _Form:
    given: dict[str, str]
    controls: list[_Control] = field(default_factory=list)


def marked(html: str, refusal: Refusal) -> str:
    """The page, with what would be refused switched off."""
    why: dict[tuple[int, int], str] = {}
    for form in _forms(html):
        why.update(_held(form, refusal))
    if not why:
        return html
    parts, last = [], 0
    for begin, end in sorted(why):
        rest = _TITLE.sub("", html[begin:end])
        parts += [html[last:begin], f' disabled title="{escape(why[begin, end])}"{rest}']
        last = end
    told = _("What is switched off on this page needs more than you may do here: ask an owner.")
    return ("".join(parts) + html[last:]).replace(_MAIN, f'{_MAIN}<p class="help" role="note">{escape(told)}</p>', 1)


def _forms(html: str) -> list[_Form]:
    """Each with its fields and buttons, those that stand elsewhere and name it included."""
    found, by_id, apart = [], {}, []
    current: _Form | None = None
    for tag in _TAG.finditer(html):
        name, given = tag["name"].lower(), _given(tag["rest"])
        if name == "/form":
            current = None
        elif name == "form":
            current = _Form(given)
            found.append(current)
            by_id[given.get("id", "")] = current
        else:
            control = _Control(tag.span("rest"), name, given)
            if "form" in given:
                apart.append(control)
            elif current is not None:
                current.controls.append(control)
    for control in apart:
        if control.given["form"] in by_id:
            by_id[control.given["form"]].controls.append(control)
    return found


def _given(rest: str) -> dict[str, str]:
    return {part[1].lower(): unescape(part[2] or part[3] or "") for part in _ATTRIBUTE.finditer(rest)}


def _held(form: _Form, refusal: Refusal) -> dict[tuple[int, int], str]:
    """Why, by the place of each control that is to be switched off. Fields go with the last button that works."""
    hidden = [item.given for item in form.controls if item.given.get("type") == "hidden"]
    contest = next((given.get("value", "") for given in hidden if given.get("name") == "contest"), "")
    named = {"slug": contest} if contest else {}
    own = _why(form.given, form.given, refusal, named)
    found, works = {}, not own
    for item in form.controls:
        if not item.submits:
            continue
        why = _why(item.given, form.given, refusal, named) if _goes_elsewhere(item) else own
        works = works or not why
        if why and "disabled" not in item.given:
            found[item.place] = why
    if not works:
        fields = [item for item in form.controls if not item.submits and item.given.get("type") != "hidden"]
        found |= {item.place: own for item in fields if "disabled" not in item.given}
    return found


def _goes_elsewhere(item: _Control) -> bool:
    return bool({"formaction", "formmethod"} & item.given.keys())


def _why(given: Mapping[str, str], form: Mapping[str, str], refusal: Refusal, named: Mapping[str, str]) -> str:
    method = given.get("formmethod") or form.get("method", "get")
    address = given.get("formaction") or form.get("action", "")
    if method.lower() == "dialog" or not address.startswith("/"):
        return ""
    return refusal(method.upper(), urlsplit(address).path, named)
