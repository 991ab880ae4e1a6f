"""`POST /conversations/{id}/again`: with a version, a key, and a problem for each refusal."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from agent.control.permissions import Scope
from agent.web.api.router import application
from tests.support.again import newest, said, settled
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.programs import Programs
from tests.support.settings import run

LOG = "SELECT actor, reason FROM audit_log WHERE action = 'conversation.again'"
KEY = {"idempotency-key": "a-press_1"}


async def test_a_message_is_answered_again_once(
    api: Programs, world: EngineHarness, agent: Instance
) -> None:
    """The same request once more, also after the answer, is the same one."""
    await said(world, agent)
    path = f"/conversations/{await newest(world)}"
    tag = (await api.get(path)).headers["etag"]
    asked: dict[str, Any] = {"json": {"reason": "a wrong flag"}, "match": tag}
    first = await api.ask("POST", f"{path}/again", headers=KEY, **asked)
    await world.answered("ada", "re: hello", "re: hello")
    await settled(world)
    second = await api.ask("POST", f"{path}/again", headers=KEY, **asked)
    other = await api.ask("POST", f"{path}/again", **asked)

    assert (202, 202, 412) == tuple(x.status_code for x in (first, second, other))
    assert (3, True) == (first.json()["seq"], first.json()["is_new"])
    assert (3, False) == (second.json()["seq"], second.json()["is_new"])
    assert "went on since" in other.json()["detail"]
    assert '"4"' == (await api.get(path)).headers["etag"]
    assert [("ada", "a wrong flag")] == [
        tuple(r) for r in await run(world.database_url, LOG)
    ]


async def test_each_refusal_is_a_problem(
    api: Programs, world: EngineHarness, agent: Instance
) -> None:
    await said(world, agent)
    path = f"/conversations/{await newest(world)}/again"
    wanted: dict[str, Any] = {"json": {}, "match": "*"}
    bad_key = {"idempotency-key": "a b"}
    answers = [
        await api.ask("POST", path, {}),
        await api.ask("POST", path, headers=bad_key, **wanted),
        await api.ask("POST", f"/conversations/{uuid4()}/again", **wanted),
        await api.ask("POST", path, scope=Scope.READ, **wanted),
    ]
    world.model.hold()
    await agent.engine.accept(world.message("a long one"))
    answers.append(await api.ask("POST", path, **wanted))
    world.model.release()

    assert [428, 422, 404, 403, 409] == [one.status_code for one in answers]
    kinds = {one.headers["content-type"] for one in answers}
    assert {"application/problem+json"} == kinds
    assert "An answer is under way here" in answers[-1].json()["detail"]
    assert [] == await run(world.database_url, LOG)


def test_it_is_declared() -> None:
    operation = application().openapi()["paths"][
        "/conversations/{conversation}/again"
    ]["post"]
    named = {one["name"] for one in operation["parameters"]}

    assert {"conversation", "If-Match", "Idempotency-Key"} == named
    assert {"202", "403", "404", "409", "412", "422", "428"} <= {
        *operation["responses"]
    }
