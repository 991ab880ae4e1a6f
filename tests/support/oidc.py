"""A provider of OpenID Connect on loopback, which can also be wrong in every way."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.web.server import http_server

KEY = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=True)
OTHER = RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=True)
CLIENT = "agent"
SECRET = "s3cret of the client"

Change = Callable[[dict[str, Any]], object]


def unchanged(claims: dict[str, Any]) -> None:
    """As it should be."""


@dataclass
class Provider:
    """What it says, and what it was asked."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    change: Change = unchanged
    key: Any = field(default_factory=lambda: KEY)
    algorithm: str = "RS256"
    metadata: dict[str, Any] = field(default_factory=dict)
    broken: str = ""
    """A path that answers 500."""
    instead: dict[str, Any] = field(default_factory=dict)
    """What a path answers instead: a text as it is, everything else as JSON."""
    asked: dict[str, str] = field(default_factory=dict)
    """The last question of a browser."""
    auth: list[str] = field(default_factory=list)

    def sign_in(self, location: str, **changes: str) -> str:
        """A person signs in at this address; the path that leads back."""
        query = parse_qs(urlsplit(location).query)
        self.asked = {name: value for name, [value] in query.items()}
        back = urlsplit(self.asked["redirect_uri"])
        said = {"code": "c0de", "state": self.asked["state"], **changes}

        return f"{back.path}?{urlencode({k: v for k, v in said.items() if v})}"

    def app(self) -> Starlette:
        paths = {
            "/.well-known/openid-configuration": self._about,
            "/token": self._token,
            "/keys": self._keys,
            "/userinfo": self._userinfo,
        }

        return Starlette(
            routes=[
                Route(
                    path, self._unless_broken(path, answer), methods=["GET", "POST"]
                )
                for path, answer in paths.items()
            ]
        )

    def _unless_broken(self, path: str, answer: Any) -> Any:
        async def answered(request: Request) -> Response:
            if path == self.broken:
                return Response("<html>down", 500)
            if path in self.instead:
                other = self.instead[path]
                return (
                    Response(other) if isinstance(other, str) else JSONResponse(other)
                )

            found: Response = await answer(request)
            return found

        return answered

    async def _about(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/userinfo",
                **self.metadata,
            }
        )

    async def _token(self, request: Request) -> Response:
        sent = {k: v for k, [v] in parse_qs((await request.body()).decode()).items()}
        self.auth.append(request.headers.get("authorization", ""))
        digest = sha256(sent["code_verifier"].encode()).digest()
        challenge = urlsafe_b64encode(digest).rstrip(b"=").decode()
        same = (challenge, sent["redirect_uri"], sent["code"]) == (
            self.asked["code_challenge"],
            self.asked["redirect_uri"],
            "c0de",
        )
        if not same:
            return JSONResponse({"error": "invalid_grant"}, 400)

        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": "4711",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": self.asked["nonce"],
            **self.claims,
        }
        self.change(claims)
        header = {"alg": self.algorithm, "kid": self.key.kid or "one"}
        token = jwt.encode(header, claims, self.key, [self.algorithm])

        return JSONResponse({"id_token": token, "access_token": "at"})

    async def _keys(self, request: Request) -> Response:
        return JSONResponse(KeySet([KEY]).as_dict(private=False))

    async def _userinfo(self, request: Request) -> Response:
        return JSONResponse({"sub": "4711", **self.userinfo})


def shared_key() -> OctKey:
    """What every client of the provider could make tokens with."""
    return OctKey.import_key(SECRET)


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider()
    async with http_server(made.app(), "127.0.0.1", 0) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
