"""Makes odd inputs out of good ones: changes of bytes, and of the values of JSON. Called by the rooms of fuzz.

Every choice comes from the Random that is handed in, so the same number gives the same input again.
"""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Change = Callable[[Random, bytes, Sequence[bytes]], bytes]

#: bytes that readers trip over: ends of lines, quotes, marks, halves of characters, magic numbers of packed files
_PIECES = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\n\n", b"\t", b",", b";", b'"', b'""', b"'", b"\\", b"|", b"`", b"<!--", b"-->"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8"),
    *(b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\x0c", b"\x1c", b"\x1a", b"\xc2\xa0", b"\xe3\x80\x80", b"\xe2\x80\x8b"),
    *(b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08", b"7z\xbc\xaf", b"BZh9", b"{", b"}", b"[", b"]", b":", b"#", b"%"),
    *("\u0131".encode(), "\u017f".encode(), "\u212a".encode(), "\uff10".encode(), "\u0663".encode(), b"=1+1", b"$$"),
)
_NUMBERS = (
    *(b"0", b"1", b"-1", b"2", b"-0", b"+1", b"00", b"1.0", b"1.", b".5", b"1e5", b"1e-400", b"1e400", b"-1e400"),
    *(b"NaN", b"nan", b"-inf", b"Infinity", "\u0131nf".encode(), b"1_0", b"0x1", b"1,5", b"50%", "\uff11".encode()),
    *(b"127", b"128", b"255", b"2147483648", b"9223372036854775807", b"9223372036854775808", b"1" * 30, b"9" * 400),
    *(b"9" * 4400, "\u0661".encode(), b"0.1" + b"0" * 300, b"true", b"null", b"None", b'"1"', b"--", b""),
)
_ENCODINGS = ("gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-32", "utf-7", "latin-1", "big5")
_NUMBER = re.compile(rb"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
#: signs that Unicode takes for others when case does not count
_ALIKE = {b"i": "\u0131".encode(), b"s": "\u017f".encode(), b"k": "\u212a".encode(), b"I": "\u0130".encode()}


def mutated(draw: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A file that was good, changed once or a few times. `others`: good ones, to splice with."""
    for _ in range(draw.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        content = draw.choice(_CHANGES)(draw, content, others)
    return content


def _flip(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8)) if content else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] if draw.random() < 0.7 else content[at:]


def _drop(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] + content[at + draw.randint(1, 20) :]


def _repeat(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.randint(0, len(content))
    piece = content[at : at + draw.randint(1, 40)]
    return content[:at] + piece * draw.choice((1, 1, 2, 30)) + content[at:]


def _insert(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.choice((0, draw.randint(0, len(content)), len(content)))
    return content[:at] + draw.choice(_PIECES) * draw.choice((1, 1, 1, 2, 100)) + content[at:]


def _splice(draw: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    other = draw.choice(others)
    return content[: draw.randint(0, len(content))] + other[draw.randint(0, len(other)) :]


def _other_number(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(content, 0, 4000))
    if not found:
        return content + draw.choice(_NUMBERS)
    place = draw.choice(found)
    return content[: place.start()] + draw.choice(_NUMBERS) + content[place.end() :]


def _other_encoding(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    text = content.decode("utf-8", "replace")
    whole = text.encode(draw.choice(_ENCODINGS), "replace")
    if draw.random() < 0.6:
        return whole
    at = content.find(b"\n", draw.randint(0, len(content))) + 1  # the second half only, as of two joined files
    return content[:at] + content[at:].decode("utf-8", "replace").encode(draw.choice(_ENCODINGS[:2]), "replace")


def _other_ends(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    return content.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n", b"\n\r", b"\xe2\x80\xa8", b"\0\n", b" \n")))


def _other_signs(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    if draw.random() < 0.3:
        plain = draw.choice(list(_ALIKE))
        return content.replace(plain, _ALIKE[plain])
    old, new = draw.choice((b"\t", b",", b"|", b'"', b":")), draw.choice((b"\t", b",", b";", b" ", b"", b'"', b"||"))
    return content.replace(old, new, draw.choice((1, -1)))


def _other_lines(draw: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    lines = content.split(b"\n")
    kind = draw.randrange(4)
    if kind == 0:
        draw.shuffle(lines)
    elif kind == 1:
        lines.insert(draw.randint(0, len(lines)), draw.choice(lines))
    elif kind == 2:
        del lines[draw.randrange(len(lines))]
    else:
        lines.insert(draw.randint(0, len(lines)), draw.choice(draw.choice(others).split(b"\n")))
    return b"\n".join(lines)


def _long(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] + draw.choice((b"x", b"1", b" ", b"\t", b",", b"|", b"\xe4\xb8\xad", b"[")) * 700 + content[at:]


def _noise(draw: Random, content: bytes, _others: Sequence[bytes]) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] + draw.randbytes(draw.choice((1, 4, 40))) + content[at:]


_CHANGES: tuple[Change, ...] = (
    *(_flip, _cut, _drop, _repeat, _insert, _insert, _splice, _other_number, _other_number, _other_encoding),
    *(_other_ends, _other_signs, _other_lines, _other_lines, _long, _noise),
)


#: values that JSON can carry, of kinds that a field does not expect, or larger than it does
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), 1.0, 2.5),
    *(2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**40, 10**400, 10**4200, "", " ", "0", "1", "1e3", "nan"),
    *("\0", "\ud800", "\udfff", "a\nb", "\u2028", "中" * 300, "x" * 5000, "tiny", "../..", "\u202e", "'; --", "%s{}"),
    *([], {}, [[]], [None], {"": None}, {"type": "log"}, ["tiny"], {"size": []}, [1, "a"], {"version": 1}),
)


def deep(levels: int, leaf: Any = None) -> Any:
    """Lists in lists."""
    for _ in range(levels):
        leaf = [leaf]
    return leaf


def changed(draw: Random, value: Any) -> Any:
    """A value of JSON in which a part, or a few, is another. What was handed in stays as it is."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _part_changed(draw, value)
    return value


def _part_changed(draw: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and draw.random() < 0.8:
        name = draw.choice(list(value))
        return {**value, name: _part_changed(draw, value[name])}
    if isinstance(value, list) and value and draw.random() < 0.8:
        place = draw.randrange(len(value))
        return [*value[:place], _part_changed(draw, value[place]), *value[place + 1 :]]
    kind = draw.randrange(8)
    if isinstance(value, dict) and kind < 4:
        return _names_changed(draw, value)
    if isinstance(value, list) and value and kind < 3:
        return draw.choice((value[1:], value[::-1], value * 2, [*value, draw.choice(_ODD)], value[:1] * 50))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and kind < 3:
        return draw.choice((-value, value * 10, value + 1, value / 3 if abs(value) < 1e300 else 0.0, str(value)[:4000]))
    if kind == 7:
        return draw.choice(([value], {"value": value}, deep(draw.choice((3, 50, 200)), value), "1"))
    return draw.choice(_ODD)


def _names_changed(draw: Random, value: dict[str, Any]) -> dict[str, Any]:
    names = list(value)
    if not names or draw.random() < 0.3:
        return {**value, draw.choice(("", "x", "type", "version", "size", "\ud800", "\0", "seed")): draw.choice(_ODD)}
    name = draw.choice(names)
    rest = {other: item for other, item in value.items() if other != name}
    kind = draw.randrange(3)
    if kind == 0:
        return rest
    if kind == 1:
        return {**rest, name.upper() if draw.random() < 0.5 else name + "s": value[name]}
    return {**value, name: value[draw.choice(names)]}


def extreme(draw: Random, value: Any, often: float = 0.3) -> Any:
    """The same with some numbers as large, or as small, as their kind goes, and texts with signs that few send."""
    if isinstance(value, dict):
        return {name: item if name == "type" else extreme(draw, item, often) for name, item in value.items()}
    if isinstance(value, list):
        return [extreme(draw, item, often) for item in value]
    if isinstance(value, bool) or draw.random() > often:
        return value
    if isinstance(value, int):
        return draw.choice((0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**40, 10**400))
    if isinstance(value, float):
        return draw.choice((0.0, -0.0, 1.0, 5e-324, 1e-300, 1e300, -1e308, 1.7e308))
    if isinstance(value, str):
        return draw.choice(
            (value + "\0", "\0", value * 50, "assertion " * 500, "\u2028", "\r\n", "\x1b[31m", "Error" * 900)
        )
    return value


def as_json(draw: Random, value: Any) -> bytes:
    """The text of it, at times with a name that stands twice in one object."""
    text = json.dumps(value, ensure_ascii=draw.random() < 0.5)
    if draw.random() < 0.05:
        text = text.replace("{", '{"seed": 1, "type": "log", ', draw.choice((1, -1)))
    return text.encode("utf-8", "surrogatepass")
