"""Tokens of programs: what they may, and when they are good for nothing any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.control.permissions import Role, Scope
from agent.core.errors import Rejected
from agent.core.limits import Limit
from agent.web.api.protocol import gate
from storage.control.audit import Author
from storage.control.operators.admin import OperatorAdmin
from storage.control.operators.api_tokens import NOT_ONE, UNKNOWN, ApiTokens
from storage.transaction import transaction
from tests.support.browser import HERE, register
from tests.support.programs import Programs, programs

ADA = Author("ada", "a test")
SECOND = 1.0


def tokens(api: Programs) -> ApiTokens:
    return ApiTokens(api.services.stores.database)


async def everything(api: Programs) -> str:
    async with transaction(api.services.stores.database) as connection:
        rows = await connection.scalars(
            "SELECT to_jsonb(t)::text FROM api_tokens t "
            "UNION ALL SELECT to_jsonb(a)::text FROM audit_log a"
        )

        return "\n".join(rows)


async def sql(api: Programs, statement: str) -> None:
    async with transaction(api.services.stores.database) as connection:
        await connection.execute(statement)


async def test_a_token_is_shown_once_and_kept_as_a_hash(api: Programs) -> None:
    token = await api.token(Scope.ADMIN)
    await api.get("/flags")
    kept = await everything(api)

    assert token not in kept
    assert token.removeprefix("agent_") not in kept
    assert "operator.token.add" in kept


async def test_it_says_what_it_is(api: Programs) -> None:
    me = (await api.get("/me", scope=Scope.READ)).json()

    assert ("vera", "read", "viewer", "a test") == (
        me["operator"],
        me["scope"],
        me["role"],
        me["label"],
    )


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        ("", gate.MISSING),
        ("abc", NOT_ONE),
        ("agent_" + "A" * 43, UNKNOWN),
        ("agent_" + "ü" * 43, NOT_ONE),
    ],
)
async def test_what_is_no_token_is_401_with_a_sentence(
    api: Programs, shown: str, sentence: str
) -> None:
    headers = {"authorization": f"Bearer {shown}".encode()}
    answer = await api.get("/flags", token="", headers=headers)

    assert (401, "Bearer", sentence) == (
        answer.status_code,
        answer.headers["www-authenticate"],
        answer.json()["detail"],
    )


async def test_ended_and_revoked_tokens_say_so(api: Programs) -> None:
    token = await api.token(Scope.ADMIN)
    await sql(api, "UPDATE api_tokens SET ends_at = now()")
    ended = await api.get("/flags", token=token)
    await sql(api, "UPDATE api_tokens SET revoked_at = now()")
    revoked = await api.get("/flags", token=token)

    assert (401, 401) == (ended.status_code, revoked.status_code)
    assert "This token ended at" in ended.json()["detail"]
    assert "This token was revoked at" in revoked.json()["detail"]


async def test_revoked_on_one_instance_it_is_refused_on_another_within_a_second(
    api: Programs, database_url: str, redis_url: str
) -> None:
    token = await api.token(Scope.OPERATE)
    async with programs(database_url, redis_url) as other:
        before = await other.get("/flags", token=token)
        [view] = await tokens(api).list("omar")
        await tokens(api).revoke(view.id, Author("omar", "a test"))
        begun = asyncio.get_running_loop().time()
        after = await other.get("/flags", token=token)
        took = asyncio.get_running_loop().time() - begun

    assert (200, 401) == (before.status_code, after.status_code)
    assert took < SECOND


async def test_a_lesser_role_holds_for_the_next_request(api: Programs) -> None:
    """A token never may more than its operator may now; without them, nothing."""
    stores = api.services.stores
    admin = OperatorAdmin(stores.database, stores.pipe)
    token = await api.token(Scope.OPERATE)
    sent: dict[str, Any] = {"json": {"value": False, "people": []}, "match": "*"}
    path = "/flags/replies/rules"
    first = await api.ask("POST", path, token=token, **sent)
    await admin.add("omar", HERE, role=Role.VIEWER)
    second = await api.ask("POST", path, token=token, **sent)
    await admin.remove("omar", HERE)
    third = await api.get("/flags", token=token)

    assert (422, 403, 401) == (
        first.status_code,
        second.status_code,
        third.status_code,
    )


async def test_nobody_makes_a_token_that_may_more_than_they(api: Programs) -> None:
    await register(api.services, "vera", "viewer")
    refused = []
    for scope in (Scope.OPERATE, Scope.ADMIN):
        with pytest.raises(Rejected) as error:
            await tokens(api).add("x", scope, Author("vera", "a test"))
        refused.append("Choose a lesser scope" in error.value.sentence)

    assert [True, True] == refused
    assert [] == await tokens(api).list()


async def test_a_token_belongs_to_a_registered_operator(api: Programs) -> None:
    """Also where nobody is registered, and anybody may change everything."""
    with pytest.raises(Rejected, match="not a registered operator"):
        await tokens(api).add("x", Scope.READ, ADA)


@pytest.mark.parametrize(
    ("label", "days"), [("", 1), (" x", 1), ("x" * 101, 1), ("a\nb", 1), ("x", 0)]
)
async def test_what_cannot_be_is_refused(
    api: Programs, label: str, days: int
) -> None:
    await register(api.services, "ada", "admin")
    with pytest.raises(Rejected):
        await tokens(api).add(label, Scope.READ, ADA, days=days)


async def test_a_program_sees_and_revokes_its_operators_tokens_alone(
    api: Programs,
) -> None:
    """Another's is not there; with the scope admin, it is."""
    await api.token(Scope.ADMIN)
    [foreign] = await tokens(api).list("ada")
    own = await api.get("/tokens", scope=Scope.OPERATE)
    refused = await api.ask("DELETE", f"/tokens/{foreign.id}", scope=Scope.OPERATE)
    listed = (await api.get("/tokens")).json()["items"]
    [mine] = own.json()["items"]
    ended = await api.ask("DELETE", f"/tokens/{mine['id']}")
    again = await api.get("/me", scope=Scope.OPERATE)

    assert ("omar", 404, 204, 401) == (
        mine["operator"],
        refused.status_code,
        ended.status_code,
        again.status_code,
    )
    assert {"ada", "omar"} == {one["operator"] for one in listed}


async def test_too_many_requests_with_one_token_wait(
    api: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on."""
    monkeypatch.setattr(gate, "PER_TOKEN", Limit(2, 60))
    statuses = [(await api.get("/me")).status_code for _ in range(3)]
    limited = await api.get("/me")
    other = await api.get("/me", scope=Scope.READ)

    assert ([200, 200, 429], 200) == (statuses, other.status_code)
    assert int(limited.headers["retry-after"]) > 0
    assert "application/problem+json" == limited.headers["content-type"]


async def test_too_many_guesses_from_one_address_wait(
    api: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good token from the same address still counts."""
    monkeypatch.setattr(gate, "PER_ADDRESS", Limit(2, 60))
    guesses = [(await api.get("/me", token="x")).status_code for _ in range(3)]
    good = await api.get("/me")

    assert ([401, 401, 429], 200) == (guesses, good.status_code)


@pytest.mark.parametrize("base", ["http://agent.example", "http://[", "http://a b"])
async def test_over_plain_http_it_is_closed(api: Programs, base: str) -> None:
    host = base.removeprefix("http://")
    answer = await api.browser.client.get(
        "http://agent.example/api/v1/me",
        headers={
            "host": host,
            "authorization": f"Bearer {await api.token(Scope.READ)}",
        },
    )

    assert (403, gate.PLAIN) == (answer.status_code, answer.json()["detail"])
