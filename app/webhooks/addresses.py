"""Where a webhook may lead: to public addresses, and to those of PAIRBOARD_WEBHOOK_ALLOW. By service and sending.

Who may add a webhook must not reach what only this machine reaches: its own services, the network behind it, a cloud's
metadata. A name is resolved once, every address that it has is looked at, and the connection goes to the one that was.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from app.language import gettext as _
from app.settings import divided

MOST_URL = 500
_NAT64 = IPv6Network("64:ff9b::/96")
Address = IPv4Address | IPv6Address


class NotAllowed(ValueError):
    """A webhook may not lead there; the message says why, and the way out."""


@dataclass(frozen=True)
class Place:
    """Where to connect, and what to say there. `ip` was looked at."""

    scheme: str
    host: str
    port: int
    target: str
    ip: str

    @property
    def host_header(self) -> str:
        """The host as the address names it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == {"http": 80, "https": 443}[self.scheme] else f"{name}:{self.port}"


def place_of(url: str, allow: str) -> Place:
    """Resolve the address. Raises NotAllowed for what is none, can't be resolved, or leads where it may not."""
    scheme, host, port, target = _parts(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotAllowed(_("%(host)s can't be resolved: %(why)s", host=repr(host), why=error)) from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    for text in addresses:
        _require_allowed(host, text, allow)
    return Place(scheme, host, port, target, addresses[0])


def _parts(url: str) -> tuple[str, str, int, str]:
    wrong = _("give an address like https://example.com/hook, of at most %(most)s characters", most=MOST_URL)
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise NotAllowed(wrong) from error
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MOST_URL
    if not (plain and port and parts.hostname) or "@" in parts.netloc or parts.fragment:
        raise NotAllowed(wrong)
    target = parts.path or "/"
    return parts.scheme, parts.hostname, port, f"{target}?{parts.query}" if parts.query else target


def _require_allowed(host: str, text: str, allow: str) -> None:
    address = ip_address(text.partition("%")[0])
    inner = carried(address)
    for entry in divided(allow):
        if entry.lower() == host or _holds(entry, inner):
            return
    if not is_public(inner):
        raise NotAllowed(
            _(
                "%(host)s is %(address)s, which is no public address: PAIRBOARD_WEBHOOK_ALLOW takes hosts and networks "
                "that webhooks may reach all the same",
                host=repr(host),
                address=text,
            )
        )


def is_public(address: Address) -> bool:
    """Whether it is of the internet at large."""
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def carried(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _holds(entry: str, address: Address) -> bool:
    try:
        return address in ip_network(entry, strict=False)
    except ValueError:  # a host's name
        return False
