"""Slack's signature of what it sends over HTTP."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

MAX_AGE = 300.0
"""Seconds (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""

_MAX_STAMP = 15  # digits


def sign(secret: str, stamp: str, body: bytes) -> str:
    """Slack's v0 signature of a body that was sent at the Unix time `stamp`."""
    signed = f"v0:{stamp}:".encode() + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def is_genuine(
    secret: str, headers: Mapping[str, str], body: bytes, *, now: float
) -> bool:
    """Whether Slack signed this delivery in the last minutes."""
    stamp = headers.get("x-slack-request-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _MAX_STAMP):
        return False
    if abs(now - int(stamp)) > MAX_AGE:
        return False

    signature = headers.get("x-slack-signature", "")
    return hmac.compare_digest(sign(secret, stamp, body).encode(), signature.encode())
