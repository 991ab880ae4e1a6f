"""What programs do with the API, room by room."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from agent.control.permissions import Scope
from agent.core.errors import StoreUnavailable
from storage.control.audit import list_entries
from storage.control.operators.api_tokens import ApiTokens
from storage.reports.reading import bounded as bounds
from storage.reports.rollup import sum_up_again
from tests.support.api_data import (
    ACCOUNT,
    CONVERSATION,
    EXPERIMENT,
    PERSON,
    WORDS,
    somebody_wrote,
)
from tests.support.programs import Programs
from tests.support.usage_data import UsageData

RULE = {"value": False, "everybody": True, "reason": "an outage"}


@pytest.fixture
async def full(api: Programs) -> Programs:
    """With somebody who wrote, and an experiment."""
    await api.token(Scope.ADMIN)
    await somebody_wrote(api.services)

    return api


async def all_pages(api: Programs, path: str, limit: int, **asked: str) -> list[Any]:
    """Every item of a list, page by page."""
    items: list[Any] = []
    cursor = None
    while True:
        params = (
            asked | {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        )
        page = (await api.get(path, params=params)).json()
        items += page["items"]
        cursor = page["next"]
        assert len(page["items"]) <= limit
        if cursor is None:
            return items


# --- flags ----------------------------------------------------------------------


async def test_a_flag_is_set_explained_and_taken_back(api: Programs) -> None:
    """The author, the token and the reason are in the log; the version moves each time."""
    seen = await api.get("/flags/replies")
    made = await api.ask(
        "POST", "/flags/replies/rules", RULE, match=seen.headers["etag"]
    )
    why = (await api.get("/flags/replies/explain?channel=slack")).json()
    undone = await api.ask(
        "POST", "/flags/replies/undo", {"everybody": True}, match=made.headers["etag"]
    )
    after = await api.get("/flags/replies")
    [undo, done] = (await api.get("/flags/replies/history")).json()["items"]

    assert (200, 200) == (made.status_code, undone.status_code)
    assert (False, "global") == (why["value"], why["rule"])
    assert {} == after.json()["rules"]
    assert after.headers["etag"] == undone.headers["etag"]
    assert ("ada", "an outage", "API token a test from 192.0.2.7") == (
        done["actor"],
        done["reason"],
        done["origin"],
    )
    assert "flag.undo" == undo["action"]


async def test_of_two_programs_the_second_hears_what_the_first_did(
    api: Programs,
) -> None:
    """412, and nothing is lost; without a version, 428; something odd, 422."""
    path = "/flags/replies/rules"
    etag = (await api.get("/flags/replies")).headers["etag"]
    first = await api.ask("POST", path, RULE, match=etag)
    second = await api.ask("POST", path, RULE | {"value": True}, match=etag)
    none = await api.ask("POST", path, RULE)
    odd = [await api.ask("POST", path, RULE, match=m) for m in ("17", 'W/"1"', '"x"')]
    value = (await api.get("/flags/replies")).json()["rules"]["global"]

    assert (200, 412, 428, False) == (
        first.status_code,
        second.status_code,
        none.status_code,
        value,
    )
    assert "ada: global unset → false" in second.json()["detail"]
    assert [422, 422, 422] == [answer.status_code for answer in odd]


async def test_what_is_for_everybody_is_said_twice(api: Programs) -> None:
    answer = await api.ask(
        "POST", "/flags/replies/rules", {"value": False}, match="*"
    )

    assert 422 == answer.status_code
    assert "Set replies to 'false' for everybody?" == answer.json()["question"]
    assert {} == (await api.get("/flags/replies")).json()["rules"]


async def test_a_rule_is_removed_by_its_scope(full: Programs) -> None:
    body = {"value": False, "people": [ACCOUNT]}
    await full.ask("POST", "/flags/replies/rules", body, match="*")
    [scope] = (await full.get("/flags/replies")).json()["rules"]
    path = f"/flags/replies/rules/{scope}"
    removed = await full.ask("DELETE", path, match="*")
    again = await full.ask("DELETE", path, match="*")

    assert f"person:{PERSON}" == scope
    assert (200, 404) == (removed.status_code, again.status_code)


# --- the others -----------------------------------------------------------------


async def test_an_experiment_starts_and_ends_once(full: Programs) -> None:
    path = f"/experiments/{EXPERIMENT}"
    seen = await full.get(path)
    started = await full.ask("POST", f"{path}/start", {}, match=seen.headers["etag"])
    stale = await full.ask("POST", f"{path}/stop", {}, match=seen.headers["etag"])
    report = (await full.get(f"{path}/report")).json()
    stopped = await full.ask("POST", f"{path}/stop", {}, match="*")
    again = await full.ask("POST", f"{path}/start", {}, match="*")

    assert ["drafted", "running", "ended"] == [
        answer.json()["stage"] for answer in (seen, started, stopped)
    ]
    assert (412, 422) == (stale.status_code, again.status_code)
    assert {"a": 0, "b": 0} == report["people"]


async def test_a_channel_is_changed_setting_by_setting(full: Programs) -> None:
    """Lists as lists; an unknown setting names what is near; nothing is half-done."""
    path = "/channels/discord"
    seen = await full.get(path)
    body = {"settings": {"overlap": "queue", "deny": ["7", "8"]}}
    changed = await full.ask("PATCH", path, body, match=seen.headers["etag"])
    wrong = {"settings": {"greeting": "Hi", "overlapp": "merge"}}
    refused = await full.ask("PATCH", path, wrong, match="*")
    after = (await full.get(path)).json()["settings"]

    assert 200 == changed.status_code
    assert (422, True) == (
        refused.status_code,
        "Did you mean overlap?" in refused.json()["detail"],
    )
    assert ("queue", ["7", "8"], "") == (
        after["overlap"],
        after["deny"],
        after["greeting"],
    )


async def test_a_person_is_blocked_on_all_accounts_and_let_in_again(
    full: Programs,
) -> None:
    blocked = await full.ask("POST", f"/people/{ACCOUNT}/block", {"reason": "spam"})
    seen = (await full.get(f"/people/{PERSON}")).json()
    deny = (await full.get("/channels/discord")).json()["settings"]["deny"]
    again = await full.ask("POST", f"/people/{ACCOUNT}/block", {})
    opened = await full.ask("POST", f"/people/{PERSON}/unblock", {})

    assert [[ACCOUNT]] * 3 + [[]] == [
        blocked.json()["blocked"],
        seen["blocked"],
        again.json()["blocked"],
        opened.json()["blocked"],
    ]
    assert ["4711"] == deny


async def test_limits_and_budgets_are_set_to_a_version(full: Programs) -> None:
    limit, budget = f"/people/{ACCOUNT}/limit", f"/budgets/person/day/{ACCOUNT}"
    seen = await full.get(limit)
    first = await full.ask(
        "PUT", limit, {"limit": "5/minute"}, match=seen.headers["etag"]
    )
    stale = await full.ask("PUT", limit, {"limit": "off"}, match=seen.headers["etag"])
    reset = await full.ask("POST", f"{limit}/reset", {})
    cleared = await full.ask("DELETE", limit, match="*")
    spent = await full.ask("PUT", budget, {"tokens": 5, "usd": "0.25"}, match='"0"')
    late = await full.ask("PUT", budget, {"tokens": 6}, match='"0"')
    listed = (await full.get("/budgets")).json()["items"]
    gone = await full.ask("DELETE", budget, match="*")

    assert [200, 412, 204, 200, 200, 412, 200] == [
        answer.status_code
        for answer in (first, stale, reset, cleared, spent, late, gone)
    ]
    assert ("5/minute", None) == (cleared.json()["before"], cleared.json()["after"])
    assert [(str(PERSON), 5, 0.25)] == [
        (one["subject"], one["tokens"], float(one["usd"])) for one in listed
    ]


async def test_words_are_read_by_those_who_may_and_leave_a_row(
    full: Programs,
) -> None:
    path = f"/conversations/{CONVERSATION}/messages"
    refused = await full.get(path, scope=Scope.READ)
    read = await full.get(path, scope=Scope.OPERATE)
    seen = await full.get("/conversations", scope=Scope.READ)
    rows = await list_entries(
        full.services.stores.database, subject=f"conversation:{CONVERSATION}"
    )

    assert (403, 200, 200) == (
        refused.status_code,
        read.status_code,
        seen.status_code,
    )
    assert [f"{WORDS} {n}" for n in (5, 4, 3, 2, 1)] == [
        one["text"] for one in read.json()["items"]
    ]
    assert WORDS not in refused.text + seen.text
    assert [("omar", "conversation.read", {"messages": 5})] == [
        (row.actor, row.action, row.after) for row in rows
    ]


async def test_a_person_is_exported_and_erased_by_admins_alone(
    full: Programs,
) -> None:
    """Erasing takes the person's id twice; it names nobody afterwards."""
    path = f"/people/{ACCOUNT}"
    body = {"erase": str(PERSON)}
    lesser = [
        await full.get(f"{path}/export", scope=Scope.OPERATE),
        await full.ask("POST", f"{path}/erase", body, scope=Scope.OPERATE),
    ]
    exported = await full.get(f"{path}/export")
    wrong = await full.ask("POST", f"{path}/erase", {"erase": str(uuid4())})
    begun = await full.ask("POST", f"{path}/erase", body)
    again = await full.ask("POST", f"{path}/erase", body)
    [erasure] = (await full.get("/erasures")).json()["items"]
    actions = [row["action"] for row in (await full.get("/audit")).json()["items"]]

    assert [403, 403] == [answer.status_code for answer in lesser]
    assert (200, 409, 202, 422) == (
        exported.status_code,
        wrong.status_code,
        begun.status_code,
        again.status_code,
    )
    assert WORDS in exported.text
    assert begun.json()["id"] == erasure["id"]
    assert "person.export" in actions


@pytest.mark.parametrize("of", [None, "model", "person", "channel"])
@pytest.mark.parametrize("by", [None, "hour"])
async def test_usage_is_paged_through_to_its_end(
    api: Programs, database_url: str, by: str | None, of: str | None
) -> None:
    await UsageData(seed=7, count=30, days=2).store(database_url)
    await sum_up_again(database_url)
    await api.token(Scope.READ)
    wanted = {"by": by, "of": of, "since": "2020-01-01", "until": "2100-01-01"}
    asked = {name: value for name, value in wanted.items() if value}
    whole = (await api.get("/usage", params=asked | {"limit": "500"})).json()
    by_page = await all_pages(api, "/usage", 5 if by else 1, **asked)

    assert whole["next"] is None
    assert whole["items"] == by_page
    assert len(by_page) > (5 if by else 1 if of else 0)


async def test_a_report_too_many_is_told_when_to_come_again(
    full: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "WAIT_SECONDS", 0.05)
    async with AsyncExitStack() as others:
        for _ in range(bounds.AT_ONCE):
            await others.enter_async_context(bounds.bounded(9))
        busy = await full.get("/usage")

    assert (503, "2") == (busy.status_code, busy.headers["retry-after"])
    assert "Reports are busy" in busy.json()["detail"]


async def test_usage_status_and_health_are_told(full: Programs) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    usage = await full.get("/usage", params={"by": "day", "until": tomorrow})
    odd = await full.get("/usage?since=2026-01-02&until=2026-01-01")
    status = (await full.get("/status")).json()
    health = await full.get("/health")

    assert (200, 422, 200) == (usage.status_code, odd.status_code, health.status_code)
    assert [3] == [line["messages"] for line in usage.json()["items"]]
    assert ([], 0) == (status["instances"], status["open_turns"])
    assert ("ready", {"postgres", "redis"}) == (
        health.json()["status"],
        {*health.json()["parts"]},
    )


# --- pages ----------------------------------------------------------------------


async def test_pages_show_each_row_once_while_rows_come(full: Programs) -> None:
    """A page names where the next one begins; what is new meanwhile moves nothing."""
    path = f"/conversations/{CONVERSATION}/messages"
    whole = {
        one: (await full.get(one, params={"limit": "500"})).json()["items"]
        for one in ("/flags", "/limits", path)
    }
    paged = {one: await all_pages(full, one, 2) for one in whole}
    first = (await full.get("/audit?limit=2")).json()
    await full.ask("POST", "/flags/replies/rules", RULE, match="*")
    params = {"limit": "2", "cursor": first["next"]}
    second = (await full.get("/audit", params=params)).json()
    ids = [row["id"] for row in first["items"] + second["items"]]

    assert whole == paged
    assert [ids[0] - n for n in range(4)] == ids


@pytest.mark.parametrize(
    "path",
    ["/flags", "/audit", "/people", "/conversations", "/erasures", "/budgets"],
)
@pytest.mark.parametrize(
    "cursor", ["x", "W10", "bnVsbA", "WyJcdTAwMDAiXQ", "WzFlOTk5OV0", "é", "9" * 1999]
)
async def test_a_cursor_of_no_page_is_refused(
    api: Programs, path: str, cursor: str
) -> None:
    answer = await api.get(path, params={"cursor": cursor})

    assert (422, "application/problem+json") == (
        answer.status_code,
        answer.headers["content-type"],
    )


@pytest.mark.parametrize(
    "path",
    ["/%0A", "/flags/%0A", "/flags/a%0Ab/rules/x%0Ay", "/%2e%2e/x", "//flags", "/"],
)
async def test_each_address_below_it_is_behind_the_gate(
    api: Programs, path: str
) -> None:
    """Odd ones, too: without a token 401, with one a problem that says that nothing is there."""
    closed = await api.get(path, token="")
    told = await api.get(path)

    assert (401, 404) == (closed.status_code, told.status_code)
    assert {"application/problem+json"} == {
        closed.headers["content-type"],
        told.headers["content-type"],
    }


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"value": false, "everbody": true}', "application/json", 422),
        (b'{"value": "\\ud800", "\\ud800": 1}', "application/json", 422),
        (b'{"value": "a\\u0000", "everybody": true}', "application/json", 422),
        (b'{"value": false, "everybody": "true"}', "application/json", 422),
        (b'{"value": NaN, "everybody": true}', "application/json", 422),
        (b"null", "application/json", 422),
        (b" " * 1_000_001, "application/json", 413),
    ],
)
async def test_odd_bodies_change_nothing_and_say_why(
    api: Programs, content: bytes, kind: str, status: int
) -> None:
    answer = await api.ask(
        "POST",
        "/flags/replies/rules",
        content=content,
        match="*",
        headers={"content-type": kind},
    )

    assert (status, "application/problem+json") == (
        answer.status_code,
        answer.headers["content-type"],
    )
    assert {} == (await api.get("/flags/replies")).json()["rules"]


async def test_a_store_that_is_away_is_503_with_a_way_on(
    api: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await api.token(Scope.READ)

    async def away(*_: object) -> None:
        raise StoreUnavailable("Postgres cannot be reached.")

    monkeypatch.setattr(ApiTokens, "find", away)
    answer = await api.get("/flags", token=token)

    assert (503, "2", "application/problem+json") == (
        answer.status_code,
        answer.headers["retry-after"],
        answer.headers["content-type"],
    )
