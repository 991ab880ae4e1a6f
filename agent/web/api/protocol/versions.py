"""Versions: `ETag` says which one was seen, `If-Match` that a change is meant for it."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header
from starlette.responses import Response

from agent.web.api.protocol.problems import Problem

_ETAG = re.compile(r'"(\d{1,18})"')

MISSING = (
    "Say which version this is meant for: If-Match with the ETag that you saw, or * for "
    "whichever there is."
)
ODD = 'If-Match has one version in quotes, such as "17", or *.'

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The ETag that was seen; `*`: whatever its version.",
        max_length=100,
    ),
]


def expected(if_match: IfMatch = None) -> int | None:
    """The version that the caller saw; None: any. Raises Problem."""
    if if_match is None or not if_match.strip():
        raise Problem(428, MISSING)
    if if_match.strip() == "*":
        return None

    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise Problem(422, ODD)

    return int(found[1])


Expected = Annotated[int | None, Depends(expected)]
"""A parameter of endpoints that change something."""


def tag(
    response: Response,
    version: int,
) -> None:
    response.headers["etag"] = f'"{version}"'
