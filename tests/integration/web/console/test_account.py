"""One's own account: password, second factor, sessions."""

from __future__ import annotations

from datetime import UTC, datetime

import pyotp
import pytest

from agent.control.permissions import Scope
from storage.control.audit import Author
from storage.control.credentials import Secrets, new_key, rotate
from storage.control.operators import second_factor
from storage.control.operators.api_tokens import ApiTokens
from tests.support.browser import PASSWORD, Browser, Page, console
from tests.support.settings import run

NEW = "nine red kites over wales"
ADA = Author("ada", "a test")


async def act(ada: Browser, page: Page, do: str, **fields: str) -> Page:
    """Sends the form of this kind."""
    form = next(one for one in page.forms if one.fields.get("do") == do)

    return await ada.post("/account", {**form.fields, **fields})


async def with_password(ada: Browser) -> Page:
    await ada.sign_in("ada")
    page = await ada.get("/account")

    return await act(ada, page, "password", password=PASSWORD, again=PASSWORD)


async def with_factor(ada: Browser) -> tuple[str, list[str], Page]:
    """The secret of the app, the recovery codes, and the page that shows them."""
    await with_password(ada)
    page = await ada.get("/account?factor=new")
    secret = next(
        one.fields["secret"] for one in page.forms if "secret" in one.fields
    )
    done = await act(ada, page, "factor", current=PASSWORD, code=code_of(secret))
    words = done.text.split()

    return secret, [one for one in words if one.count("-") == 3], done


def code_of(secret: str, steps: int = 0) -> str:
    at = int(datetime.now(UTC).timestamp()) + 30 * steps

    return pyotp.TOTP(secret).at(at)


async def sign_in(ada: Browser, password: str, code: str = "") -> Page:
    ada.client.cookies.clear()
    page = await ada.get("/sign-in")

    return await ada.send(page, "/sign-in", name="ada", password=password, code=code)


async def log_of(ada: Browser) -> list[str]:
    url = ada.services.stores.database.url
    rows = await run(
        url, "SELECT action FROM audit_log WHERE actor = 'ada' ORDER BY id"
    )

    return [row["action"] for row in rows]


async def test_a_new_password_ends_other_sessions(ada: Browser) -> None:
    await with_password(ada)
    mine = dict(ada.client.cookies)
    await sign_in(ada, PASSWORD)
    page = await ada.get("/account")
    wrong = await act(ada, page, "password", current="x", password=NEW, again=NEW)
    weak = await act(
        ada, page, "password", current=PASSWORD, password="short", again="short"
    )
    unlike = await act(
        ada, page, "password", current=PASSWORD, password=NEW, again="x"
    )
    done = await act(ada, page, "password", current=PASSWORD, password=NEW, again=NEW)
    ada.client.cookies.clear()
    for name, value in mine.items():
        ada.client.cookies.set(name, value, "agent.example")
    other = await ada.get("/")
    old, new = await sign_in(ada, PASSWORD), await sign_in(ada, NEW)

    assert [422, 422, 422] == [wrong.status, weak.status, unlike.status]
    assert "The password that you have now is wrong." in wrong.text
    assert "Your password is set; other sessions ended." in done.text
    assert "/sign-in" == other.path
    assert (401, "/") == (old.status, new.path)


async def test_a_second_factor_is_asked_for_and_each_code_is_good_once(
    ada: Browser,
) -> None:
    secret, codes, page = await with_factor(ada)
    used = code_of(secret)  # it confirmed the app
    replies = [
        await sign_in(ada, PASSWORD),
        await sign_in(ada, PASSWORD, "000000"),
        await sign_in(ada, PASSWORD, used),
    ]
    right = await sign_in(
        ada, PASSWORD, f" {code_of(secret, 1)[:3]} {code_of(secret, 1)[3:]}"
    )
    again = await sign_in(ada, PASSWORD, code_of(secret, 1))

    assert 10 == len(set(codes))
    assert [401, 401, 401] == [reply.status for reply in replies]
    assert ("/", 401) == (right.path, again.status)
    assert secret not in page.text
    assert (await log_of(ada))[:3] == [
        "operator.sign-in",
        "operator.password",
        "operator.factor-on",
    ]


async def test_a_recovery_code_is_good_once_however_it_is_typed(ada: Browser) -> None:
    _, codes, _ = await with_factor(ada)
    lower = await sign_in(ada, PASSWORD, codes[0].lower().replace("-", " "))
    account = await ada.get("/account")
    again = await sign_in(ada, PASSWORD, codes[0])

    assert ("/", 401) == (lower.path, again.status)
    assert "9 recovery codes are left." in account.text


async def test_a_factor_is_taken_away_with_the_password(ada: Browser) -> None:
    await with_factor(ada)
    page = await ada.get("/account")
    wrong = await act(ada, page, "no-factor", current="x")
    done = await act(ada, page, "no-factor", current=PASSWORD)

    assert 422 == wrong.status
    assert "The password alone is enough now." in done.text
    assert "/" == (await sign_in(ada, PASSWORD)).path


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"code": "000000"}, "This code is not the app's."),
        ({"code": ""}, "This code is not the app's."),
        ({"secret": "made up by somebody", "code": "1"}, "not one of ours"),
        ({"current": "x", "code": "1"}, "is wrong"),
    ],
)
async def test_an_app_that_does_not_agree_changes_nothing(
    ada: Browser, fields: dict[str, str], sentence: str
) -> None:
    await with_password(ada)
    page = await ada.get("/account?factor=new")
    refused = await act(ada, page, "factor", **{"current": PASSWORD, **fields})

    assert (422, True) == (refused.status, sentence in refused.text), refused.text
    assert "/" == (await sign_in(ada, PASSWORD)).path


async def test_a_secret_is_sealed_where_there_are_keys_and_moves_to_newer_ones(
    database_url: str, redis_url: str
) -> None:
    """One that was stored before there was a key is sealed then."""
    old, new = new_key(), new_key()
    async with console(database_url, redis_url) as plain:
        secret, codes, _ = await with_factor(plain)
        for keys in ([old], [new, old]):
            await rotate(plain.services.stores.database, Secrets(keys), ADA)
        rows = await run(
            database_url, "SELECT totp FROM operators WHERE name = 'ada'"
        )
    async with console(database_url, redis_url, encryption_keys=new) as ada:
        right = await sign_in(ada, PASSWORD, code_of(secret, 1))
    async with console(database_url, redis_url, encryption_keys=old) as ada:
        lost = await sign_in(ada, PASSWORD, code_of(secret, -1))
        recovered = await sign_in(ada, PASSWORD, codes[0])

    assert not second_factor.is_plain(bytes(rows[0]["totp"]))
    assert secret.encode() not in bytes(rows[0]["totp"])
    assert ("/", 401, "/") == (right.path, lost.status, recovered.path)


async def test_sessions_are_listed_and_ended(ada: Browser) -> None:
    await with_password(ada)
    first = dict(ada.client.cookies)
    await sign_in(ada, PASSWORD)
    page = await ada.get("/account")
    ended = await act(ada, page, "end")
    everywhere = await act(ada, await ada.get("/account"), "end-all")
    strange = await sign_in(ada, PASSWORD)
    form = next(
        one for one in (await ada.get("/account")).forms if "do" in one.fields
    )
    refused = await ada.post("/account", {**form.fields, "do": "end", "session": "x"})

    assert 2 == page.text.count("console from 192.0.2.7")
    assert "That session ended." in ended.text
    assert "You are signed out everywhere." in everywhere.text
    assert first
    assert ("/", 422) == (strange.path, refused.status)


async def test_nobody_ends_sessions_of_others(ada: Browser) -> None:
    await ada.sign_in("ada", "viewer")
    await ada.sign_in("bob", "viewer")
    url = ada.services.stores.database.url
    rows = await run(url, "SELECT id FROM operator_sessions WHERE operator = 'ada'")
    page = await ada.get("/account")
    form = next(one for one in page.forms if one.fields.get("do") == "end-all").fields
    await ada.post("/account", {**form, "do": "end", "session": str(rows[0]["id"])})

    assert rows == await run(
        url, "SELECT id FROM operator_sessions WHERE operator = 'ada'"
    )


@pytest.mark.parametrize("revokes", [False, True])
async def test_signing_out_everywhere_says_what_becomes_of_tokens(
    ada: Browser, revokes: bool
) -> None:
    await with_password(ada)
    without = await ada.get("/account")
    await ApiTokens(ada.services.stores.database).add(
        "a script", Scope.READ, Author("ada", "a test")
    )
    page = await ada.get("/account")
    form = next(one for one in page.forms if one.fields.get("do") == "end-all").fields
    more = {"tokens": "revoke"} if revokes else {}
    done = await ada.post("/account", {**form, **more})
    url = ada.services.stores.database.url
    rows = await run(url, "SELECT revoked_at IS NOT NULL FROM api_tokens")

    assert "no API token that is good" in without.text
    assert "one of yours is good afterwards" in page.text
    assert [revokes] == [row[0] for row in rows]
    told = "1 API tokens are revoked" if revokes else "1 API tokens are still good"
    assert told in done.text
