"""`make words` (python -m app.catalogues): collects every message of code and templates into the catalogues.

What is translated stays; what is new stands there empty, and a test fails until it is translated; what no code uses
any longer goes. A message lies in the catalogue of the room that uses it, of several the first by name.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from app.contract_words import contract_messages
from app.language import LANGUAGES, LOCALE, catalogue_files, read_catalogue

ROOT = Path(__file__).resolve().parent.parent
KEYWORDS = {"_": None, "gettext": None, "N_": None, "ngettext": (1, 2)}
#: ml.contract can't import app.language and has a word of its own for it (in the app, text() is SQLAlchemy's)
CONTRACT_KEYWORDS = {"text": None}
JINJA = {
    "trimmed": "true",
    "newstyle_gettext": "true",
    "trim_blocks": "true",
    "lstrip_blocks": "true",
    "silent": "false",
}

Key = str | tuple[str, str]


def used(root: Path = ROOT) -> dict[Key, list[Path]]:
    """Every message of the code (a pair: one and many), and the files that use it."""
    found: dict[Key, list[Path]] = {}
    for path in _sources(root):
        method, options = ("jinja2.ext:babel_extract", JINJA) if path.suffix == ".html" else ("python", {})
        keywords = CONTRACT_KEYWORDS if room(path.relative_to(root)) == "contract" else KEYWORDS
        for _, message, _, _ in extract_from_file(method, path, keywords, options=options):
            key: Key = (message[0], message[1]) if isinstance(message, tuple) else message
            files = found.setdefault(key, [])
            if path.relative_to(root) not in files:
                files.append(path.relative_to(root))
    for message, path in contract_messages():
        files = found.setdefault(message, [])
        if path not in files:
            files.append(path)
    return found


def _sources(root: Path) -> Iterator[Path]:
    yield from sorted(root.glob("app/**/*.py"))
    yield from sorted(root.glob("ml/contract/*.py"))
    yield from sorted(root.glob("templates/**/*.html"))


def room(path: Path) -> str:
    """In whose catalogue a file's messages lie."""
    if path.parts[0] == "ml":
        return "contract"
    return path.parts[1] if len(path.parts) > 2 and not path.parts[1].startswith("_") else "base"


def translated(language: str) -> dict[Key, Message]:
    """What the catalogues hold."""
    held: dict[Key, Message] = {}
    for path in catalogue_files(language).values():
        for message in read_catalogue(path, language):
            if message.id:
                held[_key(message)] = message
    return held


def is_whole(message: Message) -> bool:
    """It is translated, every form of it."""
    forms = message.string if isinstance(message.string, tuple | list) else (message.string,)
    return not message.fuzzy and all(forms) and bool(forms)


def _key(message: Message) -> Key:
    return message.id if isinstance(message.id, str) else (message.id[0], message.id[1])


def update(language: str, root: Path = ROOT) -> dict[str, bytes]:
    """The catalogues as they have to be: by room, the bytes of the file."""
    held, rooms = translated(language), dict[str, Catalog]()
    for key, files in used(root).items():
        name = min(room(path) for path in files)
        catalogue = rooms.setdefault(name, Catalog(locale=language))
        old = held.get(key)
        # no line numbers: a file would change with every line that is added above
        catalogue.add(key, old.string if old else None, [(str(path), 0) for path in files], old.flags if old else ())
    return {name: _written(catalogue) for name, catalogue in sorted(rooms.items())}


def _written(catalogue: Catalog) -> bytes:
    buffer = io.BytesIO()
    # the header holds nothing but dates and names of people; a language's plural forms are Babel's own knowledge
    write_po(buffer, catalogue, width=120, sort_output=True, omit_header=True, include_lineno=False)
    return buffer.getvalue()


def main() -> None:
    """Write the catalogues; say what is still to be translated."""
    for language in LANGUAGES:
        if language == "en":
            continue
        (LOCALE / language).mkdir(parents=True, exist_ok=True)
        files = update(language)
        for path in catalogue_files(language).values():
            if path.stem not in files:
                path.unlink()
        for name, content in files.items():
            (LOCALE / language / f"{name}.po").write_bytes(content)
        held = translated(language)
        missing = [key for key, message in held.items() if not is_whole(message)]
        sys.stdout.write(f"{language}: {len(held)} messages, {len(missing)} to be translated\n")


if __name__ == "__main__":
    main()
