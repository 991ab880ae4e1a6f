"""The settings of signing in with OpenID Connect."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from agent.settings.tidy import host_of, listed

RoleName = Literal["viewer", "operator", "admin"]
_ROLES = get_args(RoleName)
_HERE = ("127.0.0.1", "::1", "localhost")


class OidcVariables(BaseSettings):
    """A part of `Settings`."""

    oidc_issuer: str | None = Field(
        default=None,
        description="Where operators sign in to the console, as `https://id.example.org`: any "
        "OpenID Connect provider. Unset: with passwords alone. Needs `simple-ai-agent[oidc]`; "
        "see docs/console.md.",
    )
    oidc_client_id: str | None = Field(
        default=None, description="The client's id at that provider."
    )
    oidc_client_secret: SecretStr | None = Field(
        default=None,
        description="Its secret. Unset: a public client, with PKCE alone.",
    )
    oidc_scopes: str = Field(
        default="openid email profile",
        description="What is asked for, separated by blanks.",
    )
    oidc_name_claim: str = Field(
        default="email",
        description="The claim that is an operator's name here. An `email` counts only with "
        "`email_verified`. Choose none that people can change by themselves.",
    )
    oidc_role_claim: str | None = Field(
        default=None,
        description="The claim, such as `groups`, that decides an operator's role by "
        "`OIDC_ROLES`. Unset: only operators that are registered already get in.",
    )
    oidc_roles: Annotated[dict[str, RoleName], NoDecode] = Field(
        default={},
        description="Which values of that claim give which role, comma-separated: "
        "`agent-admins=admin,staff=viewer`. The highest counts.",
    )

    @field_validator("oidc_issuer", mode="after")
    @classmethod
    def _private(cls, value: str | None) -> str | None:
        if value is None:
            return value

        host = host_of(value)
        if (value.startswith("https://") and host) or (
            value.startswith("http://") and host in _HERE
        ):
            return value

        raise ValueError("it begins with https://, or http:// on this machine alone")

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        parts = listed(value)
        if not isinstance(parts, list):
            return value

        pairs = [part.rpartition("=") for part in parts]
        if not all(name and role in _ROLES for name, _, role in pairs):
            raise ValueError(
                f"it takes value=role, comma-separated; a role is {', '.join(_ROLES)}"
            )

        return {name: role for name, _, role in pairs}
