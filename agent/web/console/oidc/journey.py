"""What one browser keeps while its person is away, signing in somewhere else."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import astuple

from agent.web.console.cookies import local_path

SECONDS = 10 * 60
"""How long somebody may take to sign in there."""

MOST = 4
"""Attempts of one browser at once, in as many tabs; the oldest gives way."""

WANTED_CHARS = 300
"""A longer address is not gone to afterwards: cookies are small."""

_PARTS = 4


class Journey(Struct, frozen=True):
    """Secrets of one attempt; each is good once, for this browser alone."""

    state: str
    nonce: str
    verifier: str
    wanted: str
    """The page to go to afterwards."""

    @classmethod
    def begun(
        cls,
        wanted: str,
    ) -> Journey:
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        path = local_path(wanted) if len(wanted) <= WANTED_CHARS else "/"

        return cls(state, nonce, verifier, path)

    @property
    def challenge(self) -> str:
        """Of the verifier (https://www.rfc-editor.org/rfc/rfc7636, S256)."""
        digest = sha256(self.verifier.encode()).digest()

        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def journeys_of(cookie: str) -> Sequence[Journey]:
    """Those that a browser has under way, the oldest first."""
    parts = cookie.split("\n")
    if len(parts) % _PARTS:
        return ()

    groups = zip(*[iter(parts)] * _PARTS, strict=True)

    return [
        Journey(state, nonce, verifier, local_path(wanted))
        for state, nonce, verifier, wanted in groups
    ]


def cookie_of(journeys: Sequence[Journey]) -> str:
    """Empty: there is none under way."""
    return "\n".join(part for one in journeys[-MOST:] for part in astuple(one))
