"""Tokens that say who somebody is. The one module that needs the extra `oidc`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
"""With two keys: what a client holds must not be enough to make a token."""

LEEWAY_SECONDS = 60
"""Clocks may differ by so much."""


def checked(
    tokens: Mapping[str, Any],
    keys: Mapping[str, Any],
    *,
    issuer: str,
    client: str,
    nonce: str,
) -> Mapping[str, Any]:
    """The claims of an ID token that is signed, in time, and meant for this attempt.

    Raises ValueError with a word for what is wrong.
    """
    try:
        ring = KeySet.import_key_set({"keys": keys.get("keys", [])})
        read = jwt.decode(str(tokens.get("id_token", "")), ring, list(ALGORITHMS))
        claims = CodeIDToken(
            read.claims,
            read.header,
            {
                "iss": {"essential": True, "value": issuer},
                "aud": {"essential": True, "value": client},
            },
            {
                "nonce": nonce,
                "client_id": client,
                "access_token": tokens.get("access_token"),
            },
        )
        claims.validate(leeway=LEEWAY_SECONDS)
    except (JoseError, AuthlibBaseError) as error:
        raise ValueError(error.error) from None
    except (TypeError, KeyError, AttributeError, RecursionError):
        # of the libraries, for values of kinds that they do not expect
        raise ValueError("unreadable") from None

    return dict(claims)
