"""What one browser keeps while its person is away, signing in somewhere else."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from dataclasses import astuple, dataclass
from hashlib import sha256

from agent.web.console.cookies import local_path

SECONDS = 10 * 60
"""How long somebody may take to sign in there."""


@dataclass(frozen=True, slots=True)
class Journey:
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

        return cls(state, nonce, verifier, local_path(wanted))

    @classmethod
    def of_cookie(
        cls,
        value: str,
    ) -> Journey | None:
        parts = value.split("\n")
        if len(parts) != 4:
            return None

        state, nonce, verifier, wanted = parts

        return cls(state, nonce, verifier, local_path(wanted))

    def to_cookie(self) -> str:
        return "\n".join(astuple(self))

    @property
    def challenge(self) -> str:
        """Of the verifier (https://www.rfc-editor.org/rfc/rfc7636, S256)."""
        digest = sha256(self.verifier.encode()).digest()

        return urlsafe_b64encode(digest).rstrip(b"=").decode()
