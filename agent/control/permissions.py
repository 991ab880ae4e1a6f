"""What each role may do: the one table that the console and the command line ask."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that a role may do."""

    SEE = "see"
    """Figures, settings, states and the audit log; no text of a message."""
    READ_MESSAGES = "read-messages"
    """What people and the agent wrote. Reading is an audit row."""
    CHANGE = "change"
    """Flags, experiments, channel settings, limits, budgets; stop and repeat answers."""
    SPEND = "spend"
    """Ask models in the playground, which costs money and is in nobody's budget."""
    MANAGE = "manage"
    """Operators, credentials, keys, the schema, and people's data."""


class Role(StrEnum):
    """What an operator is. Each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a token of a program may do at most."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


_VIEWS = frozenset({Permission.SEE})
_OPERATES = _VIEWS | {Permission.READ_MESSAGES, Permission.CHANGE, Permission.SPEND}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWS,
    Role.OPERATOR: _OPERATES,
    Role.ADMIN: _OPERATES | {Permission.MANAGE},
}

_SCOPES: Mapping[Scope, Role] = {
    Scope.READ: Role.VIEWER,
    Scope.OPERATE: Role.OPERATOR,
    Scope.ADMIN: Role.ADMIN,
}

_ACTS: Mapping[Permission, str] = {
    Permission.SEE: "look at the agent",
    Permission.READ_MESSAGES: "read messages",
    Permission.CHANGE: "change anything",
    Permission.SPEND: "ask models here, which costs money",
    Permission.MANAGE: "manage operators, keys and people's data",
}


def may(
    role: Role,
    permission: Permission,
) -> bool:
    """Whether this role has the permission."""
    return permission in PERMISSIONS[role]


def within(
    scope: Scope,
    role: Role,
) -> Role:
    """The role of a program: that of its scope, and never more than its operator's."""
    roles = [*Role]

    return min(_SCOPES[scope], role, key=roles.index)


def scopes_of(role: Role) -> list[Scope]:
    """Scopes of which an operator with this role may make tokens."""
    roles = [*Role]

    return [one for one in Scope if roles.index(_SCOPES[one]) <= roles.index(role)]


def refusal(
    name: str,
    role: Role,
    permission: Permission,
) -> str:
    """Why an operator may not, as a sentence that says which roles may."""
    roles = [each for each in Role if may(each, permission)]
    wanted = " or ".join(roles)

    return (
        f"{name} has the role {role} and may not {_ACTS[permission]}: "
        f"that takes the role {wanted}."
    )
