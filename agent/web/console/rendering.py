"""Templates to pages: everything is escaped, and a value that is missing is an error."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from msgspec import Struct
from starlette.responses import HTMLResponse, Response

from agent.core.errors import AgentError
from agent.core.words.sizes import dollars, exact_dollars, in_words
from agent.web.console.errors import Stopped, described, status_of

HERE = Path(__file__).parent
STATIC = HERE / "static"

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Without it browsers say `Origin: null` of our own forms.
    "referrer-policy": "same-origin",
}
"""Of each page, besides those of every response."""

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""Controls: those that turn the direction of text, and those that show nothing."""

_HIT = re.compile(r"\*\*(.+?)\*\*")

_LONG = re.compile(r"\S{31}")
"""A word that may be broken inside; shorter ones stay whole, however narrow a column is."""


class Picture(Struct, frozen=True):
    """An SVG that was made here: its texts are escaped already."""

    svg: str

    def __html__(self) -> str:
        return self.svg


def html(
    template: str,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page of this template."""
    text = environment().get_template(template).render(**values)

    return HTMLResponse(text, status, HEADERS)


def stopped(error: Stopped | AgentError) -> Response:
    """The page that says why a request came to nothing."""
    if isinstance(error, AgentError):
        return html("stopped.html", status_of(error), problem=described(error))

    response = html("stopped.html", error.status, problem=error.sentence)
    response.headers.update(error.headers)

    return response


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "person": person_text,
        "hits": with_hits,
        "when": when,
        "json": as_json,
        "usd": usd,
        "budget": budget_usd,
        "bytes": in_words,
    }
    made.globals |= {"static": static}

    return made


def person_text(text: object) -> Markup:
    """What people wrote or chose: it turns no other text around, and hides nothing."""
    shown = _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(text))

    kind = Markup(' class="long"') if _LONG.search(shown) else ""

    return Markup("<bdi{}>{}</bdi>").format(kind, shown)


def with_hits(text: object) -> Markup:
    """What a search found: each hit, between ** and **, is marked."""
    escaped = str(person_text(text))

    return Markup(_HIT.sub(r"<mark>\1</mark>", escaped))  # noqa: S704


@pass_context
def when(
    context: Context,
    at: datetime | None,
) -> Markup:
    """A moment, absolute and, next to it, relative to now."""
    if at is None:
        return Markup("never")

    utc = at.astimezone(UTC)
    now = context["viewer"].now

    return Markup(
        '<time datetime="{}">{} UTC</time> <small class="ago">{}</small>'
    ).format(utc.isoformat(), utc.strftime("%Y-%m-%d %H:%M:%S"), relative(now - utc))


def relative(age: timedelta) -> str:
    """`3 min ago`, `in 2 h`."""
    seconds = abs(age.total_seconds())
    sizes = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    size, unit = next((one for one in sizes if seconds >= one[0]), (1, "s"))
    count = f"{seconds // size:.0f} {unit}"

    return f"{count} ago" if age >= timedelta(0) else f"in {count}"


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def usd(amount: object) -> str:
    """Dollars; None: the price is unknown."""
    return "unknown" if amount is None else dollars(float(str(amount)))


def budget_usd(amount: Decimal | None) -> str:
    """Dollars that somebody set; None: no bound."""
    return "any" if amount is None else exact_dollars(amount)


@cache
def static(name: str) -> str:
    """The address of a file, which is another when the file is."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()[:12]

    return str(escape(f"/static/{name}?v={digest}"))
