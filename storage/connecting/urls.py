"""Taking a store's URL apart as libpq and redis-cli do: passwords may hold what other
readers stumble over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import unquote

from msgspec import Struct, field

Choice = TypeVar("Choice")

TRUTH = {
    "1": True,
    "true": True,
    "on": True,
    "yes": True,
    "0": False,
    "false": False,
    "off": False,
    "no": False,
}


_COPIED_ALONG = re.compile(
    r"(?:export\s+|set\s+|\$env:)?[A-Z][A-Z0-9_]*\s*[=:]\s*(?!//)|"
    r"(?:\$\s+)?psql\s+(?:-d\s+|--dbname[=\s])?|"
    r"(?:\$\s+)?redis-cli\s+(?P<tls>--tls\s+)?-u\s+"
)
"""What hosters' buttons copy with a URL: a line of an environment file, or a command."""

_QUOTES = ("''", '""', "``", "“”", "‘’", "<>")

_PLACEHOLDER = re.compile(
    r"\$\{\{.*?\}\}|\{\{.*?\}\}|\$\{[A-Z][A-Z0-9_]*(:?[-?][^}]*)?\}|"
    r"(?i:[\[<{](your|my)?[ _-]?"
    r"(\w*password|\w*hostname|host|user|username|ref|project-ref|region|dbname|database)"
    r"[\]>}])"
)
"""A name in capitals is a variable; `${x}` may stand in a password."""

_WHOLLY = re.compile(
    r"\$\{?[A-Z][A-Z0-9_]*\}?|%[A-Z][A-Z0-9_]*%|\{\{.*\}\}|\$\{\{.*\}\}"
)
_COVERED = re.compile(r"[*•]{3,}")
"""How pages show a password that they do not show."""


class UnreadableUrl(ValueError):
    """The reason, as the end of a sentence that begins with the setting's name. It never
    quotes the URL's secrets.
    """

    @property
    def reason(self) -> str:
        return str(self.args[0])


class Host(Struct, frozen=True):
    """One server as it is written; "" each: not named."""

    name: str
    port: str


class Url(Struct, frozen=True):
    """The parts of a URL, percent-decoded. A part that is not there is None or empty."""

    scheme: str
    user: str | None = None
    password: str | None = None
    hosts: tuple[Host, ...] = ()
    path: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without a password."""
        return f"Url({self.scheme!r}, {self.user!r}, {self.hosts}, {self.path!r})"


def bare(url: str) -> str:
    """The URL without what is around it: white space and quotation marks, which some readers
    of environment files leave there, and the command or the name that was copied along.
    """
    inside = _unquoted(url)
    if copied := _COPIED_ALONG.match(inside):
        inside = _unquoted(inside[copied.end() :])
    if copied and copied["tls"]:
        return inside.replace("redis://", "rediss://", 1)

    return inside


def _unquoted(text: str) -> str:
    text = text.strip().removesuffix(";").rstrip()
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        return text[1:-1].strip()

    return text


def split_url(url: str) -> Url:
    """Takes it apart. Raises UnreadableUrl."""
    written = bare(url)
    scheme, mark, rest = written.partition("://")
    if _WHOLLY.fullmatch(written) or _PLACEHOLDER.search(rest):
        raise UnreadableUrl(
            "still has a placeholder, such as [YOUR-PASSWORD] or ${NAME}: put the value there"
        )
    if not mark:
        raise UnreadableUrl("is not a URL")

    signed_in, rest = _userinfo(rest)
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    user, password = _credentials(signed_in)
    if password and _COVERED.fullmatch(password):
        raise UnreadableUrl(
            "has stars for a password: have the page show it, then copy again"
        )

    return Url(
        scheme.lower(),
        user,
        password,
        _hosts(authority),
        _decoded(path),
        _parameters(query),
    )


def _userinfo(rest: str) -> tuple[str | None, str]:
    """What stands before the host. It may hold `?`, `#`, `[` and even `@`, but no `/`."""
    before_path = rest.partition("/")[0]
    first = before_path.find("@")
    if first < 0:
        return None, rest
    query = before_path.find("?", first)
    at = before_path.rfind("@", 0, query if query >= 0 else len(before_path))
    return rest[:at], rest[at + 1 :]


def _credentials(written: str | None) -> tuple[str | None, str | None]:
    if written is None:
        return None, None
    user, colon, password = written.partition(":")
    return _decoded(user), _decoded(password) if colon else None


def _hosts(authority: str) -> tuple[Host, ...]:
    return (
        tuple(_host(written) for written in authority.split(",")) if authority else ()
    )


def _host(written: str) -> Host:
    if written.startswith("["):
        name, bracket, port = written[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise UnreadableUrl(
                "has an IPv6 address that is not written [address]:port"
            )
        return Host(_decoded(name), _decoded(port.removeprefix(":")))
    name, _, port = written.partition(":")
    if ":" in port:
        raise UnreadableUrl(
            "has two colons in its host: write an IPv6 address in brackets, as in [::1]:5432"
        )
    return Host(_decoded(name), _decoded(port))


def _parameters(query: str) -> dict[str, str]:
    """A name that stands twice has its last value. A `+` is a plus, not a blank. Pages in
    HTML write `&amp;` for the sign between two.
    """
    found: dict[str, str] = {}
    for written in filter(None, query.replace("&amp;", "&").split("&")):
        name, equals, value = written.partition("=")
        if not equals:
            raise UnreadableUrl(f"has the parameter {shown(name)} without a value")
        found[_decoded(name).strip()] = _decoded(value)
    return found


def shown(name: str) -> str:
    """A parameter's name for a sentence; what is long or odd may be a piece of a secret."""
    plain = (
        len(name) <= 40
        and name.isascii()
        and name.replace("_", "").replace("-", "").isalnum()
    )
    return name if plain else "(unreadable)"


def port_number(written: str, otherwise: int) -> int:
    """A port. Raises UnreadableUrl, which hints at the usual reason."""
    if not written:
        return otherwise
    if not (written.isascii() and written.isdigit() and 0 < int(written) < 65536):
        raise UnreadableUrl(
            "has a port that is no number from 1 to 65535; in a password, write "
            "/ as %2F, @ as %40 and : as %3A"
        )
    return int(written)


def _decoded(written: str) -> str:
    try:
        text = unquote(written, errors="strict")
    except UnicodeDecodeError:
        raise UnreadableUrl("has a percent-encoded part that is not UTF-8") from None
    if any(ord(letter) < 32 for letter in text):
        raise UnreadableUrl(
            "has a control character in it: copy it again, in one line"
        )
    return text


def truth(name: str, written: str) -> bool:
    """A parameter that is true or false. Raises UnreadableUrl."""
    value = TRUTH.get(written.lower())
    if value is None:
        raise UnreadableUrl(f"has a {name} that is neither true nor false")

    return value


def one_of(name: str, written: str, allowed: tuple[Choice, ...]) -> Choice:
    """A parameter that is one of a few words. Raises UnreadableUrl."""
    for choice in allowed:
        if choice == written:
            return choice

    listed = ", ".join(map(str, allowed))
    raise UnreadableUrl(f"has a {name} that is none of {listed}")
