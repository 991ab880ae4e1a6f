"""Forms as browsers send them, with a bound."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from agent.web.console.errors import Stopped
from agent.web.console.page import Fields

MAX_BYTES = 1_000_000
MAX_FIELDS = 500


async def read_form(request: Request) -> Fields:
    """Raises Stopped for what is no form, or too long a one. Nothing was done then."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Stopped(415, "This is not how a form of the console is sent.")

    return Fields(_parsed(await _body(request)))


def read_query(request: Request) -> Fields:
    """The part after `?`."""
    return Fields(_parsed(request.url.query.encode()))


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise Stopped(413, f"A form has at most {MAX_BYTES} bytes.")
    except ClientDisconnect:
        raise Stopped(400, "The form ended early; nothing was changed.") from None

    return bytes(body)


def _parsed(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(
            body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise Stopped(
            400, "The form is not one of the console's; nothing was changed."
        ) from None
