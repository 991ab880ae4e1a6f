"""`/static/<name>`: the style, the script and the icon of the console."""

from __future__ import annotations

from functools import cache

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.web.console.rendering import STATIC

TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All that there is: no path leads out of the folder."""

_FOREVER = "public, max-age=31536000, immutable"


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in TYPES:
        raise HTTPException(404)

    headers = {"cache-control": _FOREVER}  # the address changes with the file

    return Response(_content(name), 200, headers, TYPES[name])


ROUTE = Route("/static/{name}", _file)


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()
