"""Links whose words name another address than the one they lead to: those show their own
address beside the words.
"""

from __future__ import annotations

import re
from collections.abc import (
    Iterable,
    Iterator,
)
from urllib.parse import urlsplit

from channels.markdown.edits import (
    Edit,
    rewritten,
)
from channels.markdown.parser import (
    Event,
    Tag,
    parse,
)

_ADDRESS = re.compile(
    r"(?<![\w./-])(?P<scheme>[a-z][a-z0-9+.-]{0,20}://|mailto:)?(?:[^\s/@]{0,64}@)?"
    r"(?P<host>(?:[\w-]+\.)+(?P<last>[^\W\d_]{2,}|xn--[\w-]+))(?![\w@-])",
    re.IGNORECASE,
)
_FILE = re.compile(
    r"\.(?:cc?|cfg|cpp|css?|csv|env|go|h|hpp|html|ini|ipynb|java|jsx?|json|kt|lock|log"
    r"|lua|md|mjs|php|pl|ps|py|rb|rs"
    r"|sh|so|sql|svg|swift|toml|tsx?|txt|vue|xml|ya?ml|zip)",
    re.IGNORECASE,
)
"""How names of files end, though some of it is the domain of a country, too."""


_DEEPEST = 8  # links in the words of links: only one of them is a link, until it is none any more


def misleads(words: str, address: str) -> bool:
    """Whether the words of a link name a host, and the link leads to another."""
    leads_to = _host_of(address)

    return any(not _same(named, leads_to) for named in _named(words))


def with_honest_links(text: str) -> str:
    """The text with the address beside the words of each link that misleads. Tables are
    left alone.
    """
    for _ in range(_DEEPEST):
        edits = list(_edits(parse(text))) if "](" in text else []
        if not edits:
            break
        text = rewritten(text, edits)

    return text


def _edits(
    events: Iterable[Event],
) -> Iterator[Edit]:
    begins: list[tuple[Event, str]] = []  # the links that are open, with their words
    in_table = False
    before = 0  # where the part before this one ended

    for event in events:
        in_table = event.kind == "start" if event.tag is Tag.TABLE else in_table

        if event.kind == "leaf":
            begins = [
                (
                    link,
                    words + event.value,
                )
                for link, words in begins
            ]
        elif event.tag in (Tag.LINK, Tag.IMAGE) and event.kind == "start":
            begins.append((event, ""))
        elif event.tag in (
            Tag.LINK,
            Tag.IMAGE,
        ):
            link, words = begins.pop()
            named = link.value not in (
                words,
                f"mailto:{words}",
            )
            if named and not in_table and not begins and misleads(words, link.value):
                yield from _beside(link, before)

        before = event.end if event.kind != "start" else before


def _beside(link: Event, words_end: int) -> Iterator[Edit]:
    opening = 2 if link.tag is Tag.IMAGE else 1
    yield Edit(
        link.start,
        link.start + opening,
        "",
    )
    yield Edit(
        words_end,
        link.end,
        f" ({link.value})",
    )


def _named(words: str) -> Iterator[str]:
    """The hosts that a text names. Names of files are no hosts, though `.md` is Moldova."""
    for found in _ADDRESS.finditer(words):
        host = found["host"]
        if (
            found["scheme"]
            or host.lower().startswith("www.")
            or not _FILE.fullmatch("." + found["last"])
        ):
            yield host


def _host_of(address: str) -> str:
    if address.lower().startswith("mailto:"):
        return address.partition("?")[0].rpartition("@")[2]

    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _same(one: str, other: str) -> bool:
    """Whether the two are one host, or one belongs to the domain of the other."""
    one, other = (
        _ascii(one),
        _ascii(other),
    )

    return bool(other) and (
        one == other or one.endswith("." + other) or other.endswith("." + one)
    )


def _ascii(host: str) -> str:
    bare = host.lower().removeprefix("www.")

    try:
        return bare.encode("idna").decode()
    except UnicodeError:
        return bare
