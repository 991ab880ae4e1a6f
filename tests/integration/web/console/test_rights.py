"""Every page, asked by everybody who may not: with ids that are there and that are not, with
forms by chance. Never an answer with data, never a change.

`REQUESTS=10000` asks that often (`SEED` repeats one).
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest

from agent.control.permissions import Permission, Role, may
from agent.web.console.page import Page
from agent.web.console.pages import PAGES
from storage.control.operators.sessions import begin_session
from storage.transaction import transaction
from tests.support.api_data import CONVERSATION, PERSON, WORDS, somebody_wrote
from tests.support.browser import Browser, register
from tests.support.settings import run

THERE = {
    "id": (str(PERSON), str(CONVERSATION)),
    "name": ("replies", "no_such_flag"),
    "seq": ("1", "2", "99"),
    "key": ("replies",),
}
"""What stands in paths; there is something at most of them."""

SECRETS = (WORDS, "grey herons", "Grace")
QUERIES = ("", "?q=dawn", "?person=Grace&all=1", "?before=1", "?q=%22", "?page=-1")
FORMS: Sequence[Mapping[str, str]] = (
    {},
    {"value": "off", "version": "0", "act": "set", "sure": "yes"},
    {"act": "erase", "confirm": "Grace", "reason": "x"},
    {"act": "end", "name": "x", "value": "x" * 1000},
)
SEED = int(os.environ.get("SEED", "1"))
SESSION = "__Host-agent-session"


@dataclass(frozen=True)
class Visitor:
    """Somebody who asks. `role` None: nobody who is signed in."""

    name: str
    token: str = ""
    csrf: str = ""
    role: Role | None = None

    def lacks(self, permission: Permission | None) -> bool:
        if self.role is None:
            return True

        return permission is not None and not may(self.role, permission)


async def session_of(ada: Browser, name: str, role: Role) -> Visitor:
    await register(ada.services, name, role.value)
    async with transaction(ada.services.stores.database) as connection:
        token = await begin_session(connection, name, "a test")
        csrf = await connection.scalar(
            "SELECT csrf FROM operator_sessions ORDER BY id DESC LIMIT 1"
        )

    return Visitor(name, token, str(csrf), role)


async def visitors(ada: Browser) -> list[Visitor]:
    """A viewer, an operator, and those whose session is good for nothing."""
    kept = [
        await session_of(ada, "vera", Role.VIEWER),
        await session_of(ada, "omar", Role.OPERATOR),
    ]
    database = ada.services.stores.database
    for name, change in (
        ("ended", "ends_at = now()"),
        ("idle", "seen_at = now() - interval '2 hours'"),
        ("removed", "operator = 'nobody'"),
    ):
        made = await session_of(ada, name, Role.ADMIN)
        async with transaction(database) as connection:
            await connection.execute(
                f"UPDATE operator_sessions SET {change} WHERE operator = '{name}'"
            )
        kept.append(Visitor(name, made.token, made.csrf))

    return [*kept, Visitor("stranger"), Visitor("guesser", "A" * 43, "x")]


def path_of(page: Page, chance: random.Random) -> str:
    path = page.path
    odd = (str(UUID(int=chance.getrandbits(128))), "a%00b", "%ff", "-1", "..%2f")
    for name, values in THERE.items():
        value = chance.choice([*values, *values, *odd])
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path

    return path + chance.choice(QUERIES)


async def ask(
    ada: Browser, visitor: Visitor, page: Page, chance: random.Random
) -> tuple[str, httpx.Response, bool]:
    """What was asked, the answer, and whether it was a form with a token of its session."""
    is_form = page.act is not None and chance.random() < 0.5
    is_own = chance.random() < 0.7
    form = dict(chance.choice(FORMS)) if is_form else None
    if form is not None:
        form["csrf"] = visitor.csrf if is_own else "another"
    path = path_of(page, chance)
    headers = {"origin": "https://agent.example"}
    if visitor.token:
        headers["cookie"] = f"{SESSION}={visitor.token}"
    answer = await ada.client.request(
        "POST" if is_form else "GET",
        path,
        data=form,
        headers=headers,
        follow_redirects=False,
    )

    return f"{visitor.name} {answer.request.method} {path}", answer, is_own


def objection(
    visitor: Visitor, page: Page, answer: httpx.Response, *, is_own: bool
) -> str:
    """What is wrong with this answer. "": it tells and does nothing that it must not."""
    is_form = answer.request.method == "POST"
    if answer.status_code in (307, 404):  # no page is there
        return "told" if any(one in answer.text for one in SECRETS) else ""
    if visitor.role is None:
        led = answer.headers.get("location", "").startswith("/sign-in")
        return (
            "" if (answer.status_code, led, answer.text) == (303, True, "") else "in"
        )

    lacking = visitor.lacks(page.permission)
    lacking |= is_form and (not is_own or visitor.lacks(page.act_permission))
    if lacking and answer.status_code != 403:
        return "not refused"
    if answer.status_code >= 500:
        return "failed"

    hidden = SECRETS if lacking else SECRETS[:2]
    reads = may(visitor.role, Permission.READ_MESSAGES) and not lacking
    told = [each for each in hidden if each in answer.text]

    return f"told {told}" if told and not reads else ""


async def changes(ada: Browser) -> list[tuple[object, ...]]:
    """What the log says was done by those who may not, apart from reading and sessions."""
    rows = await run(
        ada.services.stores.database.url,
        "SELECT actor, action FROM audit_log WHERE actor <> 'root' "
        "AND actor <> 'omar' AND action NOT LIKE 'operator.%'",
    )

    return [tuple(row) for row in rows]


async def test_by_chance_nothing_is_told_or_done(ada: Browser) -> None:
    chance, wrong = random.Random(SEED), []
    await register(ada.services, "root", "admin")
    await somebody_wrote(ada.services)
    asking = await visitors(ada)
    statuses = set()
    for _ in range(int(os.environ.get("REQUESTS", "250"))):
        visitor, page = chance.choice(asking), chance.choice(PAGES)
        asked, answer, is_own = await ask(ada, visitor, page, chance)
        statuses.add(answer.status_code)
        if found := objection(visitor, page, answer, is_own=is_own):
            wrong.append((found, asked, answer.status_code))

    assert [] == wrong, f"SEED={SEED}"
    assert {200, 303, 403} <= statuses
    assert [] == await changes(ada)


@pytest.mark.parametrize("page", [each for each in PAGES if each.act_permission])
def test_what_changes_something_takes_more_than_looking_or_is_ones_own(
    page: Page,
) -> None:
    own = page.path.startswith("/account")

    assert own or page.act_permission is not Permission.SEE
