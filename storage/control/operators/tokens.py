"""Secrets that are shown once and kept as a hash."""

from __future__ import annotations

import secrets
from hashlib import sha256

TOKEN_BYTES = 32
"""256 bits: twice what is asked of a session (OWASP ASVS 5, 7.2.3)."""


def new_token() -> str:
    """A random secret that can stand in an address."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hashed(token: str) -> bytes:
    """What is kept of it. A plain hash is enough: nobody can guess the token."""
    return sha256(token.encode("utf-8", "replace")).digest()
