"""What is asked of the provider. Whatever it answers may be wrong, late or somebody else's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
import structlog
from msgspec import Struct
from pydantic import BaseModel

from agent.core.errors import ConfigurationError
from agent.settings import Settings
from agent.settings.proxied_transport import ProxiedTransport
from agent.web.console.errors import Stopped
from agent.web.console.oidc.claims import together
from agent.web.console.oidc.journey import Journey

SECONDS = 6.0
"""For all that is asked of it in one step of signing in."""

MOST_BYTES = 1_000_000

AWAY = (
    "The sign-in service does not answer as it should. Try again in a moment, or sign in "
    "with your password."
)
DOUBTFUL = (
    "The sign-in service's answer cannot be trusted ({}), so nobody was signed in. Try "
    "again; if that does not help, an administrator should look at OIDC_ISSUER, "
    "OIDC_CLIENT_ID and the clocks."
)
MISSING = "Signing in this way needs simple-ai-agent[oidc], which is not installed."

log = structlog.get_logger()


class Metadata(BaseModel):
    """What a provider says of itself
    (https://openid.net/specs/openid-connect-discovery-1_0.html).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class Provider(Struct, frozen=True):
    """The provider of the settings. Raises Stopped with a sentence, whatever is wrong."""

    settings: Settings

    async def address(
        self,
        journey: Journey,
        back: str,
    ) -> str:
        """Where a browser goes to sign in, and from where it comes `back`."""
        async with asking() as client:
            found = await self._metadata(client)

        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": back,
            "scope": self.settings.oidc_scopes,
            "state": journey.state,
            "nonce": journey.nonce,
            "code_challenge": journey.challenge,
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in found.authorization_endpoint else "?"

        return found.authorization_endpoint + joint + urlencode(asked)

    async def claims(
        self,
        journey: Journey,
        code: str,
        back: str,
    ) -> Mapping[str, Any]:
        """What it says of the person who came back with this code."""
        async with asking() as client:
            found = await self._metadata(client)
            tokens = await self._tokens(client, found, journey, code, back)
            keys = await _json(client.build_request("GET", found.jwks_uri), client)
            claims = self._checked(found, tokens, keys, journey)
            if found.userinfo_endpoint and self._lacks(claims):
                more = await _more(client, found, tokens)
                if more.get("sub") != claims["sub"]:
                    raise Stopped(502, DOUBTFUL.format("another person"))
                claims = together(claims, more)

        return claims

    @property
    def _client_id(self) -> str:
        return self.settings.oidc_client_id or ""

    async def _metadata(
        self,
        client: httpx.AsyncClient,
    ) -> Metadata:
        issuer = (self.settings.oidc_issuer or "").rstrip("/")
        url = f"{issuer}/.well-known/openid-configuration"
        answer = await _json(client.build_request("GET", url), client)
        found = Metadata.model_validate(answer)
        if found.issuer.rstrip("/") != issuer:
            raise Stopped(502, DOUBTFUL.format("another issuer"))

        return found

    async def _tokens(
        self,
        client: httpx.AsyncClient,
        found: Metadata,
        journey: Journey,
        code: str,
        back: str,
    ) -> Mapping[str, Any]:
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": journey.verifier,
            "client_id": self._client_id,
        }
        secret, auth = self.settings.oidc_client_secret, None
        if secret is not None:
            plain = secret.get_secret_value()
            if "client_secret_basic" in found.token_endpoint_auth_methods_supported:
                auth = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(plain))
                del sent["client_id"]
            else:
                sent["client_secret"] = plain

        request = client.build_request("POST", found.token_endpoint, data=sent)

        return await _json(request, client, auth)

    def _checked(
        self,
        found: Metadata,
        tokens: Mapping[str, Any],
        keys: Mapping[str, Any],
        journey: Journey,
    ) -> Mapping[str, Any]:
        try:
            from agent.web.console.oidc.id_tokens import checked
        except ImportError:
            raise Stopped(503, MISSING) from None

        try:
            return checked(
                tokens,
                keys,
                issuer=found.issuer,
                client=self._client_id,
                nonce=journey.nonce,
            )
        except ValueError as error:
            raise Stopped(502, DOUBTFUL.format(error)) from None

    def _lacks(
        self,
        claims: Mapping[str, Any],
    ) -> bool:
        """Some providers put little into the token, and the rest elsewhere."""
        wanted = [self.settings.oidc_name_claim, self.settings.oidc_role_claim]
        if "email" in wanted:
            wanted.append("email_verified")

        return any(name and name.partition(".")[0] not in claims for name in wanted)


@asynccontextmanager
async def asking() -> AsyncIterator[httpx.AsyncClient]:
    """A client for one step, which ends in time."""
    try:
        transport = ProxiedTransport(httpx.Limits(), httpx.create_ssl_context())
        async with (
            httpx.AsyncClient(transport=transport, timeout=SECONDS) as client,
            asyncio.timeout(SECONDS),
        ):
            yield client
    except (
        TimeoutError,
        httpx.HTTPError,
        httpx.InvalidURL,
        ssl.SSLError,
        ConfigurationError,
        ValueError,
    ) as error:
        log.warning("sign-in service failed", error=type(error).__name__)
        raise Stopped(503, AWAY) from None


async def _json(
    request: httpx.Request,
    client: httpx.AsyncClient,
    auth: httpx.BasicAuth | None = None,
) -> Mapping[str, Any]:
    """Raises httpx.HTTPError and ValueError."""
    response = await client.send(request, auth=auth, stream=True)
    try:
        response.raise_for_status()
        read = bytearray()
        async for piece in response.aiter_bytes():
            read += piece
            if len(read) > MOST_BYTES:
                raise ValueError("too much")
    finally:
        await response.aclose()

    try:
        answer = httpx.Response(200, content=bytes(read)).json()
    except RecursionError:
        raise ValueError("too deep") from None

    if isinstance(answer, dict):
        return answer

    raise ValueError("no object")


async def _more(
    client: httpx.AsyncClient,
    found: Metadata,
    tokens: Mapping[str, Any],
) -> Mapping[str, Any]:
    headers = {"authorization": f"Bearer {tokens.get('access_token', '')}"}
    request = client.build_request("GET", found.userinfo_endpoint, headers=headers)

    return await _json(request, client)
