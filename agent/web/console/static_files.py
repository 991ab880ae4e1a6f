"""`/static/<name>`: the style, the script and the icon of the console."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, HTTPException, Response

from agent.web.console.rendering import STATIC

TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All that there is: no path leads out of the folder."""

_FOREVER = "public, max-age=31536000, immutable"


def router() -> APIRouter:
    """The one route."""
    routes = APIRouter()

    @routes.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def file(name: str) -> Response:
        if name not in TYPES:
            raise HTTPException(404)

        headers = {"cache-control": _FOREVER}  # the address changes with the file

        return Response(_content(name), 200, headers, TYPES[name])

    return routes


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()
