"""Every address of the API, with every kind of token that may not: never an answer with data.

`REQUESTS=100000` asks that often, with paths, bodies and ids by chance (`SEED` repeats one).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from agent.control.permissions import PERMISSIONS, Permission, Scope
from agent.core.limits import Limit
from agent.web.api.protocol import gate
from agent.web.api.protocol.routing import GuardedRoute
from agent.web.api.router import ROUTERS
from storage.control.audit import Author
from storage.control.operators.api_tokens import ApiTokens
from storage.transaction import transaction
from tests.support.api_data import (
    ACCOUNT,
    CONVERSATION,
    EXPERIMENT,
    PERSON,
    WORDS,
    somebody_wrote,
)
from tests.support.programs import ROLES, Programs

THERE = {
    "name": "replies",
    "scope": "person",
    "scope:path": "global",
    "period": "day",
    "subject": "discord",
    "person": str(PERSON),
    "conversation": str(CONVERSATION),
    "token": "01920000-0000-7000-8000-000000000003",
}
"""What stands in paths, so that there is something at each."""

SECRETS = (WORDS, "Grace", ACCOUNT, EXPERIMENT, str(CONVERSATION), str(PERSON))
BODIES = (
    "",
    "{}",
    "null",
    "[]",
    '{"reason": "x"}',
    '{"value": true}',
    "{",
    '"\\ud800"',
)
"""None of these is looked at before the token is."""
SEED = int(os.environ.get("SEED", "1"))


@dataclass(frozen=True)
class Address:
    """One method at one path."""

    method: str
    path: str
    permission: Permission

    def filled(self, values: dict[str, str]) -> str:
        path = self.path
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, path

        return path


def addresses() -> Iterator[Address]:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, GuardedRoute), route
            for method in sorted(route.methods or ()):
                yield Address(method, route.path, route.permission)


ADDRESSES = list(addresses())


def lacking(permission: Permission) -> list[Scope]:
    """Scopes that do not have it."""
    return [one for one in Scope if permission not in PERMISSIONS[ROLES[one]]]


@pytest.fixture
async def full(api: Programs) -> Programs:
    for scope in Scope:
        await api.token(scope)
    await somebody_wrote(api.services)

    return api


async def without_use(api: Programs) -> dict[str, str]:
    """Tokens that are good for nothing."""
    kept = {}
    database = api.services.stores.database
    for name, change in (
        ("ended", "ends_at = now() - interval '1 second'"),
        ("revoked", "revoked_at = now()"),
        ("orphan", "operator = 'nobody'"),
    ):
        view, token = await ApiTokens(database).add(
            name, Scope.ADMIN, Author("ada", "a test")
        )
        async with transaction(database) as connection:
            await connection.execute(
                f"UPDATE api_tokens SET {change} WHERE id = '{view.id}'"
            )
        kept[name] = token

    return {**kept, "none": "", "wrong": "x", "foreign": "agent_" + "A" * 43}


async def refused(
    api: Programs, address: Address, path: str, token: str, body: str
) -> tuple[int, bool]:
    """The status, and whether the answer is a problem that tells nothing."""
    headers = {"if-match": "*", "content-type": "application/json"}
    answer = await api.ask(
        address.method, path, token=token, content=body.encode(), headers=headers
    )
    is_problem = answer.headers["content-type"] == "application/problem+json"
    tells = any(secret in answer.text for secret in SECRETS)

    return answer.status_code, is_problem and not tells


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is about permissions; too many requests are tested elsewhere."""
    monkeypatch.setattr(gate, "PER_ADDRESS", Limit(1_000_000, 1))
    monkeypatch.setattr(gate, "PER_TOKEN", Limit(1_000_000, 1))


async def test_without_a_token_that_is_good_nothing_is_told(full: Programs) -> None:
    bad = await without_use(full)
    wrong = [
        (address.method, address.path, name, found)
        for address in ADDRESSES
        for name, token in bad.items()
        if (
            found := await refused(
                full, address, address.filled(THERE), token, BODIES[1]
            )
        )
        != (401, True)
    ]

    assert len(ADDRESSES) > 30
    assert [] == wrong


async def test_with_a_lesser_scope_nothing_is_told_or_done(full: Programs) -> None:
    """Whatever the body is: it is not looked at."""
    tried = [
        (address, scope)
        for address in ADDRESSES
        for scope in lacking(address.permission)
    ]
    wrong = []
    for number, (address, scope) in enumerate(tried):
        body = BODIES[number % len(BODIES)]
        token, path = await full.token(scope), address.filled(THERE)
        found = await refused(full, address, path, token, body)
        if found != (403, True):
            wrong.append((address, scope, found))

    assert len(tried) > 15
    assert [] == wrong


async def test_what_there_is_not_is_404_for_those_who_may(full: Programs) -> None:
    """Ids of others, names of nothing."""
    nothing = dict.fromkeys(THERE, "nothing_of_this_name")
    ids = dict.fromkeys(
        ("person", "conversation", "token"), "01920000-0000-7000-8000-00000000ffff"
    )
    kinds = {"scope": "person", "period": "day", "subject": "discord:12"}
    named = [each for each in ADDRESSES if "{" in each.path]
    statuses = {}
    for address in named:
        path = address.filled({**nothing, **ids, **kinds})
        body: Any = {} if address.method in ("POST", "PUT", "PATCH") else None
        answer = await full.ask(address.method, path, body, match="*")
        statuses[f"{address.method} {address.path}"] = answer.status_code

    assert named
    assert {} == {
        where: status
        for where, status in statuses.items()
        if status not in (404, 422)
    }
    assert all(
        status == 404 for where, status in statuses.items() if where.startswith("GET")
    )


async def test_by_chance_nothing_is_told(full: Programs) -> None:
    """Ids, bodies and tokens by chance, on every address: 0 answers with data."""
    chance = random.Random(SEED)
    bad = await without_use(full)
    good = {scope: await full.token(scope) for scope in Scope}
    requests = int(os.environ.get("REQUESTS", "250"))
    wrong = []
    for _ in range(requests):
        address = chance.choice(ADDRESSES)
        lesser = [good[scope] for scope in lacking(address.permission)]
        token = chance.choice([*bad.values(), *lesser])
        path = address.filled(by_chance(chance))
        body = chance.choice(BODIES)
        status, well = await refused(full, address, path, token, body)
        if not well or status not in (400, 401, 403):
            wrong.append((address, path, body, status))

    assert [] == wrong, f"SEED={SEED}"


def by_chance(chance: random.Random) -> dict[str, str]:
    """Values of a path: what there is, what there is not, and what is odd."""
    odd: Sequence[str] = (str(UUID(int=chance.getrandbits(128))), "*", "a%00b", "%ff")

    return {
        name: chance.choice([value, value, *odd]) for name, value in THERE.items()
    }
