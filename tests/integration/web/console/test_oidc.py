"""Signing in with OpenID Connect: who gets in, and who and what does not."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.control.permissions import Scope
from agent.core.limits import Limit
from agent.settings import Settings
from agent.web.console import sign_in as pages
from agent.web.console.oidc.claims import claim
from agent.web.console.oidc.journey import MOST
from storage.control.audit import Author
from storage.control.operators import api_tokens
from storage.control.operators.admin import OperatorAdmin
from storage.control.operators.api_tokens import ApiTokens, Holder
from storage.control.operators.second_factor import new_factor
from tests.support.browser import PASSWORD, Browser, Page, console, register
from tests.support.oidc import CLIENT, OTHER, SECRET, Provider, provider, shared_key
from tests.support.settings import run
from tests.support.tls_faults import demanding, trusted

EMAIL = "ada@example.org"
VERIFIED = {"email": EMAIL, "email_verified": True}
GROUPS = {
    "oidc_role_claim": "groups",
    "oidc_roles": "agent-admins=admin, staff=viewer",
}

HEADER = b'{"alg":"RS256","crit":7}'
CRITICAL = b64encode(HEADER).decode().rstrip("=") + ".e30.AA"
"""A token whose header is not as it should be."""

Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PER_ADDRESS", Limit(1000, 1))


@pytest.fixture
async def there() -> AsyncIterator[Provider]:
    async with provider() as made:
        made.claims = dict(VERIFIED)
        yield made


@pytest.fixture
def opened(database_url: str, redis_url: str, there: Provider) -> Open:
    @asynccontextmanager
    async def open_console(**settings: object) -> AsyncIterator[Browser]:
        values: dict[str, Any] = {
            "oidc_issuer": there.url,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            **settings,
        }
        async with console(database_url, redis_url, **values) as browser:
            yield browser

    return open_console


async def leave(ada: Browser, wanted: str = "/", **headers: str) -> Page:
    """To where the button leads; the browser does not go there."""
    answer = await ada.client.get(
        "/sign-in/oidc",
        params={"next": wanted},
        headers=headers,
        follow_redirects=False,
    )

    return Page(answer)


async def sign_in(
    ada: Browser, there: Provider, wanted: str = "/", **changes: str
) -> Page:
    left = await leave(ada, wanted)
    assert left.status == 303, left.text

    return await ada.get(there.sign_in(left.response.headers["location"], **changes))


async def come_back(ada: Browser, there: Provider, left: Page) -> Page:
    return await ada.get(there.sign_in(left.response.headers["location"]))


async def roles(ada: Browser) -> dict[str, str]:
    stores = ada.services.stores
    found = await OperatorAdmin(stores.database, stores.pipe).list()

    return {one.name: one.role.value for one in found}


async def sessions(ada: Browser) -> int:
    [[count]] = await run(
        ada.services.stores.database.url, "SELECT count(*) FROM operator_sessions"
    )

    return int(count)


async def test_an_operator_signs_in_with_the_button(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "viewer")
        page = await ada.get("/sign-in?next=/flags")
        [button] = [one for one in page.links if "oidc" in one]
        left = await ada.client.get(button, follow_redirects=False)
        home = await ada.get(there.sign_in(left.headers["location"]))
        log = await run(
            ada.services.stores.database.url,
            "SELECT actor, action, origin FROM audit_log ORDER BY id DESC LIMIT 1",
        )

    assert (200, "/flags") == (home.status, home.path)
    assert [(EMAIL, "operator.sign-in")] == [tuple(row)[:2] for row in log]
    assert "OpenID Connect" in log[0][2]
    assert ("S256", "code", CLIENT) == tuple(
        there.asked[one]
        for one in ("code_challenge_method", "response_type", "client_id")
    )
    assert there.auth[0].startswith("Basic ")
    cookies = [one for one in left.headers.get_list("set-cookie") if "oidc" in one]
    assert all(
        word in cookies[0]
        for word in ("__Host-agent-oidc", "HttpOnly", "Secure", "SameSite=lax")
    )


async def test_without_the_setting_there_is_no_button_and_no_way(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    answers = [
        await ada.get(path) for path in ("/sign-in/oidc", "/sign-in/oidc/back?code=x")
    ]

    assert [404, 404] == [one.status for one in answers]
    assert "oidc" not in (await ada.get("/sign-in")).html


OUTSIDE: list[tuple[dict[str, Any], str]] = [
    ({}, "email is missing"),
    ({"email": EMAIL}, "not verified"),
    ({"email": EMAIL, "email_verified": False}, "not verified"),
    ({"email": EMAIL, "email_verified": "yes"}, "not verified"),
    ({"email": [EMAIL], "email_verified": True}, "email is missing"),
    ({"email": "", "email_verified": True}, "email is missing"),
    ({"email": f" {EMAIL}", "email_verified": True}, "email is missing"),
    ({"email": "eve@example.org", "email_verified": True}, "no operator here"),
    ({"email": "<b>@x\u202e", "email_verified": True}, "email is missing"),
]


async def test_somebody_who_is_no_operator_stays_outside(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for claims, sentence in OUTSIDE:
            there.claims = claims
            page = await sign_in(ada, there)
            assert (403, True) == (page.status, sentence in page.text), page.text

        assert 0 == await sessions(ada)


async def test_where_nobody_is_registered_nobody_gets_in(
    opened: Open, there: Provider
) -> None:
    """Without operators everybody may do everything: on the command line alone."""
    async with opened() as ada:
        page = await sign_in(ada, there)

        assert (403, {}, 0) == (page.status, await roles(ada), await sessions(ada))


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "nonce": lambda claims: claims.update(nonce="another"),
    "no nonce": lambda claims: claims.pop("nonce"),
    "audience": lambda claims: claims.update(aud="another"),
    "audiences": lambda claims: claims.update(aud=[CLIENT, "another"]),
    "party": lambda claims: claims.update(azp="another"),
    "issuer": lambda claims: claims.update(iss="https://evil.example"),
    "ended": lambda claims: claims.update(exp=1),
    "no end": lambda claims: claims.pop("exp"),
    "early": lambda claims: claims.update(iat=claims["iat"] + 3600, nbf=2**40),
    "nobody": lambda claims: claims.pop("sub"),
    "hash": lambda claims: claims.update(at_hash="AAAA"),
}


async def test_a_token_for_something_else_lets_nobody_in(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for name, change in WRONG.items():
            there.change = change
            page = await sign_in(ada, there)
            said = "cannot be trusted" in page.text
            assert (name, 502, True) == (name, page.status, said), page.text

        assert 0 == await sessions(ada)


async def test_a_token_with_another_signature_lets_nobody_in(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for key, algorithm in ((OTHER, "RS256"), (shared_key(), "HS256")):
            there.key, there.algorithm = key, algorithm
            page = await sign_in(ada, there)
            assert 502 == page.status, page.text

        assert 0 == await sessions(ada)


ASTRAY = [
    ({"state": "another"}, 403),
    ({"state": ""}, 403),
    ({"code": ""}, 403),
    ({"code": "", "error": "access_denied"}, 403),
    ({"iss": "https://evil.example"}, 403),
    ({"code": "another"}, 503),
]


async def test_a_way_back_that_was_not_begun_so_leads_nowhere(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for changes, status in ASTRAY:
            page = await sign_in(ada, there, **changes)
            assert (changes, status) == (changes, page.status), page.text

        assert 0 == await sessions(ada)


async def test_what_one_browser_began_no_other_ends(
    opened: Open, there: Provider
) -> None:
    """Nor does the same browser end it twice."""
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        left = await leave(ada)
        back = there.sign_in(left.response.headers["location"])
        cookies = dict(ada.client.cookies)
        ada.client.cookies.clear()
        stranger = await ada.get(back)
        for name, value in cookies.items():
            ada.client.cookies.set(name, value, domain="agent.example")
        first, again = await ada.get(back), await ada.get(back)

    assert (403, 200, 403) == (stranger.status, first.status, again.status)
    assert "begun in another browser" in stranger.text


async def test_a_return_that_failed_is_the_last_of_its_state(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for changes, status in ASTRAY[2:]:  # its own state came back
            left = await leave(ada)
            location = left.response.headers["location"]
            failed = await ada.get(there.sign_in(location, **changes))
            again = await ada.get(there.sign_in(location))
            assert (changes, status, 403) == (changes, failed.status, again.status)
            assert "begun in another browser" in again.text

        assert 0 == await sessions(ada)


async def test_tabs_that_sign_in_at_once_all_arrive(
    opened: Open, there: Provider
) -> None:
    """In any order, each at its own page; beyond a few the oldest gives way."""
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        wanted = ("/flags", "/people", "/limits", "/audit")
        left = [await leave(ada, one) for one in wanted]
        stranger = await ada.get("/sign-in/oidc/back?state=x&code=y")
        arrived = [await come_back(ada, there, one) for one in reversed(left)]
        again = [await come_back(ada, there, one) for one in left]

        left = [await leave(ada, "/flags") for _ in range(MOST + 1)]
        found = [(await come_back(ada, there, one)).status for one in left]

    assert 403 == stranger.status
    assert [*reversed(wanted)] == [page.path for page in arrived]
    assert [403] * len(wanted) == [page.status for page in again]
    assert [403, *[200] * MOST] == found


async def test_tokens_rest_when_the_provider_has_not_vouched_for_long(
    opened: Open, there: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its group an operator gets no session, and their tokens soon end, too."""
    there.claims |= {"groups": ["agent-admins"]}
    async with opened(**GROUPS) as ada:
        await register(ada.services, "bob", "admin")
        await sign_in(ada, there)
        url, tokens = (
            ada.services.stores.database.url,
            ApiTokens(ada.services.stores.database),
        )
        made = {}
        for name in (EMAIL, "bob"):
            made[name] = (await tokens.add("ci", Scope.READ, Author(name, "a test")))[
                1
            ]

        at_once = [await tokens.find(one) for one in made.values()]
        there.claims |= {"groups": []}
        refused = await sign_in(ada, there)
        monkeypatch.setattr(api_tokens, "VOUCHED", timedelta(0))
        late = await tokens.find(made[EMAIL])
        registered_here = await tokens.find(made["bob"])
        await run(
            url, "UPDATE operators SET password = 'a hash' WHERE name = $1", EMAIL
        )
        with_a_password = await tokens.find(made[EMAIL])

    assert [EMAIL, "bob"] == [
        one.operator for one in at_once if isinstance(one, Holder)
    ]
    assert 403 == refused.status
    assert isinstance(late, str)
    assert "rests" in late
    assert isinstance(registered_here, Holder)
    assert isinstance(with_a_password, Holder)


async def test_no_other_site_uses_up_the_tries_of_an_address(
    opened: Open, there: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture may lead here from anywhere. One way there and back is one try."""
    monkeypatch.setattr(pages, "PER_ADDRESS", Limit(3, 900))
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for _ in range(5):
            assert 403 == (await ada.get("/sign-in/oidc/back?state=x")).status
        found = [(await sign_in(ada, there)).status for _ in range(3)]
        left, page = await leave(ada), await ada.get("/sign-in")
        password = await ada.send(page, "/sign-in", name="ada", password="x")

    assert ([200, 200, 200], 429) == (found, left.status)
    assert 429 == password.status


async def test_pictures_that_begin_nothing_leave_the_password_its_tries(
    opened: Open, there: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser that does not say which site asks begins ways that nobody goes."""
    monkeypatch.setattr(pages, "PER_ADDRESS", Limit(3, 900))
    async with opened() as ada:
        begun = [(await leave(ada)).status for _ in range(4)]
        page = await ada.get("/sign-in")
        password = await ada.send(page, "/sign-in", name="ada", password="x")

    assert ([303, 303, 303, 429], 401) == (begun, password.status)


async def test_another_site_signs_nobody_in(opened: Open, there: Provider) -> None:
    async with opened() as ada:
        left = await leave(ada, **{"sec-fetch-site": "cross-site"})

    assert (303, "/sign-in") == (left.status, left.response.headers["location"])
    assert {} == there.asked


async def test_afterwards_it_goes_to_no_other_site(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        home = await sign_in(ada, there, wanted="//evil.example/")

    assert (200, "/") == (home.status, home.path)


async def test_a_provider_that_is_down_is_a_sentence(
    opened: Open, there: Provider
) -> None:
    """Wherever it stops answering: before anybody goes there, or when they come back."""
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        told = []
        for there.broken in ("/token", "/keys"):
            told.append(await sign_in(ada, there))
        there.broken = "/.well-known/openid-configuration"
        told.append(await ada.get("/sign-in/oidc"))
    async with opened(oidc_issuer="http://127.0.0.1:9") as ada:
        told.append(await ada.get("/sign-in/oidc"))

    assert [503] * 4 == [page.status for page in told]
    assert all("does not answer as it should" in page.text for page in told)


async def test_a_provider_that_wants_a_certificate_of_the_agent_is_away(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS 1.3 it says so after its handshake."""
    with demanding(trusted(tmp_path, monkeypatch)) as url:
        async with opened(oidc_issuer=url) as ada:
            page = await leave(ada)

    assert page.status == 503
    assert "does not answer as it should" in page.text


DEEP = "[" * 100_000
UNREADABLE: list[tuple[str, Any, int]] = [
    ("/keys", {"keys": None}, 502),
    ("/keys", {"keys": 7}, 502),
    ("/keys", {"keys": [None]}, 502),
    ("/keys", {"keys": [{"kty": []}]}, 502),
    ("/keys", {"keys": [{"kty": "EC", "crv": "P-0", "x": "AA", "y": "AA"}]}, 502),
    ("/keys", {}, 502),
    ("/keys", None, 503),
    ("/keys", DEEP, 503),
    ("/token", DEEP, 503),
    ("/token", {"id_token": CRITICAL}, 502),
    ("/userinfo", DEEP, 503),
    ("/.well-known/openid-configuration", {"issuer": None}, 503),
]


async def test_what_cannot_be_read_is_a_sentence(
    opened: Open, there: Provider
) -> None:
    there.claims = {}
    async with opened() as ada:
        await register(ada.services, EMAIL, "admin")
        for path, answer, status in UNREADABLE:
            left = await leave(ada)
            there.instead = {path: answer}
            page = await ada.get(there.sign_in(left.response.headers["location"]))
            there.instead = {}
            assert (path, status) == (path, page.status), (answer, page.text)
            assert "sign-in service" in page.text

        there.instead = {"/.well-known/openid-configuration": DEEP}
        assert 503 == (await leave(ada)).status


async def test_what_says_it_is_another_issuer_is_not_asked(
    opened: Open, there: Provider
) -> None:
    there.metadata = {"issuer": "https://evil.example"}
    async with opened() as ada:
        left = await leave(ada)

    assert (502, True) == (left.status, "another issuer" in left.text)


async def test_a_claim_gives_the_role_and_registers_who_is_new(
    opened: Open, there: Provider
) -> None:
    found = []
    async with opened(**GROUPS) as ada:
        await register(ada.services, "grace", "admin")
        for groups in (["staff", "agent-admins", 7], "staff", ["agent-admins"]):
            there.claims |= {"groups": groups}
            home = await sign_in(ada, there)
            found.append((home.status, (await roles(ada)).get(EMAIL)))

    assert [(200, "admin"), (200, "viewer"), (200, "admin")] == found


async def test_a_claim_that_changes_changes_the_role(
    opened: Open, there: Provider
) -> None:
    """And one that gives none lets nobody in, whatever was registered."""
    async with opened(**GROUPS) as ada:
        await register(ada.services, EMAIL, "admin")
        there.claims |= {"groups": ["staff"]}
        first, given = await sign_in(ada, there), (await roles(ada))[EMAIL]
        there.claims |= {"groups": ["others"]}
        second = await sign_in(ada, there)
        log = await run(
            ada.services.stores.database.url,
            "SELECT action FROM audit_log ORDER BY id DESC LIMIT 2",
        )

    assert (200, "viewer", 403) == (first.status, given, second.status)
    assert "gives you a role" in second.text
    assert ["operator.sign-in", "operator.role"] == [row[0] for row in log]


async def test_no_claim_takes_away_the_last_admin(
    opened: Open, there: Provider
) -> None:
    there.claims = {"email": "root", "email_verified": True, "groups": ["staff"]}
    async with opened(**GROUPS) as ada:
        await register(ada.services, "root", "admin")
        page = await sign_in(ada, there)

        assert (422, {"root": "admin"}) == (page.status, await roles(ada))
        assert "no admin is left" in page.text


async def test_what_the_token_leaves_out_is_asked_for(
    opened: Open, there: Provider
) -> None:
    there.claims, there.userinfo = {}, {"email": "Ada@Example.ORG"}
    there.userinfo |= {"email_verified": True}
    async with opened() as ada:
        await register(ada.services, EMAIL, "viewer")
        there.userinfo["sub"] = "another person"
        other = await sign_in(ada, there)
        del there.userinfo["sub"]
        home = await sign_in(ada, there)

    assert (502, 200) == (other.status, home.status)


@pytest.mark.parametrize(
    ("userinfo", "status"),
    [
        ({"email": EMAIL.upper(), "email_verified": True}, 200),
        ({"email_verified": True}, 200),
        ({"email": "eve@example.org", "email_verified": True}, 403),
        ({"email": EMAIL, "email_verified": False}, 403),
        ({}, 403),
    ],
)
async def test_whether_the_email_is_verified_may_be_said_elsewhere(
    opened: Open, there: Provider, userinfo: dict[str, Any], status: int
) -> None:
    """Of the same address, that is."""
    there.claims, there.userinfo = {"email": EMAIL}, userinfo
    async with opened() as ada:
        await register(ada.services, EMAIL, "viewer")
        page = await sign_in(ada, there)

    assert status == page.status, page.text


async def test_an_email_is_the_same_however_it_was_registered(
    opened: Open, there: Provider
) -> None:
    async with opened(**GROUPS) as ada:
        await register(ada.services, "Ada@Example.org", "admin")
        there.claims |= {"groups": ["staff"]}
        home = await sign_in(ada, there)

        assert (200, "viewer") == (home.status, (await roles(ada))["Ada@Example.org"])
        assert EMAIL not in await roles(ada)


async def test_a_name_that_could_be_two_operators_is_nobody(
    opened: Open, there: Provider
) -> None:
    async with opened() as ada:
        for name in ("Ada@Example.org", "ADA@example.org"):
            await register(ada.services, name, "admin")
        two = await sign_in(ada, there)
        await register(ada.services, EMAIL, "admin")
        exact = await sign_in(ada, there)

    assert (403, 200) == (two.status, exact.status)


async def test_only_emails_are_alike_in_capitals(
    opened: Open, there: Provider
) -> None:
    there.claims = {"login": "ada"}
    async with opened(oidc_name_claim="login") as ada:
        await register(ada.services, "Ada", "admin")
        page = await sign_in(ada, there)

    assert 403 == page.status


FIRST: list[dict[str, str]] = [
    {"do": "password", "password": PASSWORD, "again": PASSWORD},
    {"do": "factor", "secret": new_factor(EMAIL).secret, "code": "000000"},
    {"do": "no-factor"},
]


async def test_the_provider_alone_lets_in_whom_it_let_in_first(
    opened: Open, there: Provider
) -> None:
    """A first password is a way in that it could not close: it takes an admin's link."""
    async with opened() as ada:
        await register(ada.services, EMAIL, "viewer")
        await sign_in(ada, there)
        page = await ada.get("/account")
        asked = [{"csrf": page.csrf, "current": "", **fields} for fields in FIRST]
        answers = [await ada.post("/account", fields) for fields in asked]
        [row] = await run(
            ada.services.stores.database.url,
            f"SELECT password, totp FROM operators WHERE name = '{EMAIL}'",
        )

    assert "New password" not in page.text
    assert (None, None) == tuple(row)
    for one in (page, *answers):
        assert f"agent operators link {EMAIL}" in one.text
    assert [422, 422, 422] == [one.status for one in answers]


async def test_an_operator_with_a_password_changes_it_however_they_came(
    opened: Open, there: Provider
) -> None:
    """And a session that a link began may set the first one."""
    async with opened() as ada:
        await ada.sign_in(EMAIL)
        page = await ada.get("/account")
        first = {"csrf": page.csrf, "current": "", **FIRST[0]}
        linked = await ada.post("/account", first)
        ada.client.cookies.clear()
        await sign_in(ada, there)
        page = await ada.get("/account")
        wrong = {"csrf": page.csrf, "current": "x", **FIRST[0]}
        refused = await ada.post("/account", wrong)
        right = await ada.post("/account", wrong | {"current": PASSWORD})

    assert (200, 422, 200) == (linked.status, refused.status, right.status)
    assert "that you have now is wrong" in refused.text


def test_a_claim_may_be_inside_another_or_have_dots_in_its_name() -> None:
    claims = {"realm": {"roles": ["a"]}, "https://x.example/roles": ["b"], "s": "t"}

    assert ["a"] == claim(claims, "realm.roles")
    assert ["b"] == claim(claims, "https://x.example/roles")
    assert (None, None) == (claim(claims, "s.t"), claim(claims, "realm.no"))


@pytest.mark.parametrize(
    "values",
    [
        {"oidc_issuer": "http://id.example.org"},
        {"oidc_issuer": "id.example.org"},
        {"oidc_issuer": "https://"},
        {"oidc_roles": "staff"},
        {"oidc_roles": "staff=king"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"https|role"):
        Settings.model_validate(values)
