"""Where webhooks may go: hosts and networks by an allow-list, and no private address that is not on it.

A name is checked before every try, and so is each address that it stands for: a name of somebody else's may stand for
an address of the factory's own network tomorrow.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from libs.contracts.base import Problem

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY = "*"
"""On the list: every host with a public address, by https."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last four bytes are an IPv4 address."""

_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")


class Place(NamedTuple):
    """A URL in its parts, so that what was checked is what is asked."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""


class Refused(ValueError):
    """A webhook must not go there; the problem says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class Targets:
    """The allow-list."""

    names: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = ()
    """`.example.com` for everything below it."""
    networks: tuple[Network, ...] = ()
    any_public: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Hosts, `*.domain`, addresses and networks, separated by commas; `*` is any host with a public address.

        Raises:
            ValueError: one of them is none of these.
        """
        names: set[str] = set()
        suffixes: list[str] = []
        networks: list[Network] = []
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        for entry in entries:
            if entry == ANY:
                continue
            try:
                networks.append(ip_network(entry))
            except ValueError:
                name = entry.removeprefix("*")
                if not set(name) <= _NAME or "/" in entry or (name != entry and not name.startswith(".")):
                    raise ValueError(f"{entry!r} is no host, no *.domain, no address and no network") from None
                if name != entry:
                    suffixes.append(name)
                else:
                    names.add(name)
        return cls(frozenset(names), tuple(suffixes), tuple(networks), ANY in entries)

    def place_of(self, url: str) -> Place:
        """The parts of a URL to which webhooks may go, as far as the URL alone can tell.

        Raises:
            Refused: it is no such URL.
        """
        place = _place(url)
        named = self._names(place.host)
        literal = _literal(place.host)
        if literal is not None:
            self.check_literal(literal)
        elif not named and not self.any_public:
            raise _refused("TARGET_NOT_ALLOWED", f"the host {place.host} is not on the list FACTORY_WEBHOOK_TARGETS")
        if place.scheme == "http" and not (named or (literal is not None and self._lists(plain(literal)))):
            raise _refused("NOT_HTTPS", "only what is on the list FACTORY_WEBHOOK_TARGETS by name may be told by http")
        return place

    def check(self, address: str | Address) -> Address:
        """The address, if webhooks may go there. A public address needs no entry of its own where its name has one.

        Raises:
            Refused: it is private, or of no use for one receiver, and not on the list.
        """
        found = plain(ip_address(address) if isinstance(address, str) else address)
        if not self._lists(found) and (not found.is_global or found.is_multicast or found.is_reserved):
            text = f"the address {found} is not public, and not on the list FACTORY_WEBHOOK_TARGETS"
            raise _refused("PRIVATE_ADDRESS", text)
        return found

    def check_literal(self, address: str | Address) -> Address:
        """The same of an address that stands in a URL, where no name has been allowed."""
        found = self.check(address)
        if not self._lists(found) and not self.any_public:
            raise _refused("TARGET_NOT_ALLOWED", f"the address {found} is not on the list FACTORY_WEBHOOK_TARGETS")
        return found

    def _names(self, host: str) -> bool:
        return host in self.names or any(host.endswith(suffix) for suffix in self.suffixes)

    def _lists(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.networks)


def plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it stands for one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None) or address


def _place(url: str) -> Place:
    if not url.isascii() or any(not "!" <= letter <= "~" or letter == "\\" for letter in url):
        raise _refused("INVALID_URL", "a URL has no spaces, backslashes or letters outside of ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refused("INVALID_URL", f"not a URL: {error}") from None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in {"https", "http"} or not host:
        raise _refused("INVALID_URL", "a webhook's URL begins with https:// and a host")
    if "@" in parts.netloc or "#" in url:
        raise _refused("INVALID_URL", "a webhook's URL has no user, no password and no fragment")
    if _literal(host) is None and not set(host) <= _NAME:
        raise _refused("INVALID_URL", f"{host!r} is no host")
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return Place(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refused(code: str, message: str) -> Refused:
    return Refused(Problem(code=code, path="url", message=message))
