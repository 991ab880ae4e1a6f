"""Which operator somebody is, and with which role, by what a provider says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.control.permissions import Role
from agent.settings import Settings
from agent.web.console.errors import Stopped
from storage.control.audit import is_name

UNKNOWN = (
    "The sign-in service knows you as {}, who is no operator here. An admin registers you "
    "with `agent operators add`."
)
NAMELESS = (
    "The sign-in service does not say who you are: {} is missing. An administrator should "
    "look at OIDC_NAME_CLAIM and OIDC_SCOPES."
)
UNVERIFIED = (
    "The sign-in service has not verified your email address, so it proves nothing. Verify "
    "it there, and sign in again."
)
NO_ROLE = (
    "Nothing that the sign-in service says of you gives you a role here. An administrator "
    "should look at your groups there, and at OIDC_ROLES."
)


def claim(
    claims: Mapping[str, Any],
    name: str,
) -> Any:
    """One claim; dots lead into it, as in `realm_access.roles`. None: it is missing."""
    if name in claims:
        return claims[name]

    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None

    return found


def together(
    token: Mapping[str, Any],
    userinfo: Mapping[str, Any],
) -> Mapping[str, Any]:
    """What both say of one person; the token is believed first.

    Whether an email is verified counts for that email alone.
    """
    emails = {
        one["email"].lower()
        for one in (token, userinfo)
        if isinstance(one.get("email"), str)
    }
    if len(emails) > 1:
        userinfo = {k: v for k, v in userinfo.items() if k != "email_verified"}

    return {**userinfo, **token}


def name_of(
    claims: Mapping[str, Any],
    settings: Settings,
) -> str:
    """The operator's name. Raises Stopped when none is said, or anybody could have said it."""
    wanted = settings.oidc_name_claim
    name = claim(claims, wanted)
    if not isinstance(name, str) or not is_name(name) or name != name.strip():
        raise Stopped(403, NAMELESS.format(wanted))
    if wanted != "email":
        return name
    if claims.get("email_verified") not in (True, "true"):
        raise Stopped(403, UNVERIFIED)

    return name.lower()


def role_of(
    claims: Mapping[str, Any],
    settings: Settings,
) -> Role | None:
    """The highest role that the claim gives; None: it is not asked for.

    Raises Stopped when it is, and gives none.
    """
    if settings.oidc_role_claim is None:
        return None

    said = claim(claims, settings.oidc_role_claim)
    values = said if isinstance(said, list) else [said]
    known = [one for one in values if isinstance(one, str)]
    given = [settings.oidc_roles[one] for one in known if one in settings.oidc_roles]
    if not given:
        raise Stopped(403, NO_ROLE)

    roles = [*Role]

    return max(map(Role, given), key=roles.index)
