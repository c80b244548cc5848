"""An experiment's note, which is Markdown, as HTML that is safe to show. Called by pages.

CommonMark with tables and strikethrough. Raw HTML stays text, there are no images (an address that the page would load
by itself tells its owner who reads), and a link leads nowhere but to http, https, mailto or a place of this site.
What comes of it is sanitised all the same, by nh3: a fault of ours or of the Markdown reader's must not be a hole.
"""

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_ALLOWED = ("http:", "https:", "mailto:")
_ELEMENTS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "pre", "code", "em", "strong", "s", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title", "rel"}, "ol": {"start"}, "code": {"class"}, "th": {"class"}, "td": {"class"}}
#: the page has the first and the second level itself
_DEEPER = 2


def rendered(note: str) -> Markup:
    """The note as HTML."""
    reader = _reader()
    tokens = reader.parse(note)
    for token in tokens:
        _prepare(token)
        for child in token.children or ():
            _prepare(child)
    return Markup(sanitised(reader.renderer.render(tokens, reader.options, {})))  # noqa: S704 - it is


def sanitised(html: str) -> str:
    """Only what Markdown makes is left of it: no other element, attribute or address."""
    return nh3.clean(
        html,
        tags=_ELEMENTS,
        attributes=_ATTRIBUTES,
        url_schemes={scheme.removesuffix(":") for scheme in _ALLOWED},
        link_rel=None,  # set by _prepare
    )


def _reader() -> MarkdownIt:
    # breaks: a note of before, which was shown as it was typed, keeps its lines
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    reader.disable("image")
    setattr(reader, "validateLink", is_safe)  # noqa: B010 - how markdown-it-py has it replaced; typed as a method
    return reader


@lru_cache(maxsize=4096)  # a table shows the same hundred notes again and again
def plain(note: str) -> str:
    """The note's words in one line, without the signs of Markdown."""
    tokens = _reader().parse(note)
    texts = [child.content for token in tokens for child in token.children or () if child.content]
    texts += [token.content for token in tokens if token.type in {"fence", "code_block"}]
    return " ".join(" ".join(texts).split())


def is_safe(address: str) -> bool:
    """Whether a link may lead there. A browser drops tabs and line breaks within an address, and spaces before it."""
    bare = re.sub(r"[\x00-\x20\x7f-\x9f]", "", address)
    scheme = _SCHEME.match(bare)
    return scheme is None or scheme[0].lower() in _ALLOWED


def _prepare(token: Token) -> None:
    """A link vouches for nothing; headings stand below the page's own; a column's colons set a class, for pages refuse
    inline styles."""
    if token.type == "link_open":
        token.attrSet("rel", "nofollow noopener")
    elif token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(6, int(token.tag[1]) + _DEEPER)}"
    elif "right" in str(token.attrs.pop("style", "")):
        token.attrSet("class", "num")
