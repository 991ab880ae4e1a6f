"""Signing in: links, passwords, limits, sessions, and what keeps strangers out."""

from __future__ import annotations

import pytest

from agent.control.permissions import Role
from agent.web.app import HEADERS
from agent.web.console import rendering
from storage.control.audit import Author
from storage.control.operators import passwords
from storage.control.operators.admin import OperatorAdmin
from storage.control.operators.invitations import Invitations
from tests.support.browser import (
    HERE,
    HTTPS,
    PASSWORD,
    Browser,
    Page,
    browser,
    console,
)
from tests.support.settings import run

ADA = Author("ada", "a test")


async def link_of(ada: Browser, name: str = "ada") -> str:
    """A link to set a password, for an operator who is new."""
    stores = ada.services.stores
    admin = OperatorAdmin(stores.database, stores.pipe)
    made = await admin.add(name, Author(name, "a test"), role=Role.ADMIN, link=True)

    return f"/link/{made.link}"


async def with_password(ada: Browser) -> Page:
    path = await link_of(ada)

    return await ada.send(
        await ada.get(path), path, password=PASSWORD, again=PASSWORD
    )


async def sign_in(ada: Browser, **fields: str) -> Page:
    page = await ada.get("/sign-in")

    return await ada.send(page, "/sign-in", **{"name": "ada", **fields})


async def sign_out(ada: Browser, page: Page, **fields: str) -> Page:
    return await ada.send(page, "/sign-out", **fields)


async def test_until_somebody_was_invited_there_is_nothing(ada: Browser) -> None:
    """An agent that is reached from outside shows no sign-in page by itself."""
    pages = [await ada.get(path) for path in ("/", "/sign-in", "/link/x")]
    posted = await ada.post("/sign-in", {"name": "ada", "password": "x"})

    assert [404] * 4 == [page.status for page in (*pages, posted)]
    assert {'{"error":"There is nothing at this address."}'} == {
        page.html for page in (*pages, posted)
    }


async def test_a_link_sets_a_password_and_signs_in_once(ada: Browser) -> None:
    path = await link_of(ada)
    looked = [await ada.get(path) for _ in range(2)]  # as previews do
    home = await ada.send(looked[1], path, password=PASSWORD, again=PASSWORD)
    again = await ada.get(path)

    assert "Set a password" in looked[0].text
    assert (200, "/", True) == (home.status, home.path, "ada" in home.text)
    assert (410, True) == (again.status, "not good any more" in again.text)
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action FROM audit_log ORDER BY id",
    )
    assert [
        ("ada", "operator.add"),
        ("ada", "operator.link"),
        ("ada", "operator.password"),
    ] == [tuple(row) for row in log]


@pytest.mark.parametrize(
    ("password", "again", "sentence"),
    [
        (PASSWORD, "another one", "The two passwords differ."),
        ("short", "short", "12 to 200 characters"),
        ("x" * 201, "x" * 201, "12 to 200 characters"),
        ("aaaaaaaaaaaa", "aaaaaaaaaaaa", "too easy"),
        ("adaadaadaada", "adaadaadaada", "too easy"),
    ],
)
async def test_a_password_that_will_not_do_leaves_the_link_as_it_was(
    ada: Browser, password: str, again: str, sentence: str
) -> None:
    path = await link_of(ada)
    refused = await ada.send(
        await ada.get(path), path, password=password, again=again
    )
    taken = await ada.send(refused, path, password=PASSWORD, again=PASSWORD)

    assert (422, True) == (refused.status, sentence in refused.text)
    assert (200, "/") == (taken.status, taken.path)


async def test_a_password_signs_in_and_goes_where_one_wanted_to_go(
    ada: Browser,
) -> None:
    await sign_out(ada, await with_password(ada))
    asked = await ada.get("/?from=x")
    home = await ada.send(asked, "/sign-in", name="ada", password=PASSWORD)

    assert asked.path == "/sign-in?next=/%3Ffrom%3Dx"
    assert (200, "/?from=x") == (home.status, home.path)


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil",
        "javascript:1",
    ],
)
async def test_signing_in_leads_to_no_other_site(ada: Browser, wanted: str) -> None:
    await sign_out(ada, await with_password(ada))
    page = await ada.get("/sign-in")
    home = await ada.send(
        page, "/sign-in", name="ada", password=PASSWORD, next=wanted
    )

    assert HTTPS + "/" == str(home.response.url)


async def test_what_is_wrong_is_not_told(ada: Browser) -> None:
    """Of an unknown name, a name without a password and a wrong password the page says the
    same.
    """
    await sign_out(ada, await with_password(ada))
    await OperatorAdmin(ada.services.stores.database, ada.services.stores.pipe).add(
        "bob", ADA
    )
    pages = [
        await sign_in(ada, name=name, password="wrong password")
        for name in ("ada", "bob", "nobody", "a\0b", "")
    ]

    assert [401] * 5 == [page.status for page in pages]
    assert 1 == len({page.text for page in pages})
    assert "is wrong" in pages[0].text


async def test_tries_are_limited_by_account_and_by_address(ada: Browser) -> None:
    await sign_out(ada, await with_password(ada))
    account = [await sign_in(ada, password="wrong password") for _ in range(11)]
    right = await sign_in(ada, password=PASSWORD)
    address = [await sign_in(ada, name=f"n{n}", password="x") for n in range(20)]

    assert [401] * 10 + [429] == [page.status for page in account]
    assert (429, True) == (right.status, "Too many tries" in right.text)
    assert right.response.headers["retry-after"].isdecimal()
    assert {401, 429} == {page.status for page in address}


async def test_each_sign_in_is_a_new_session_and_signing_out_ends_it(
    ada: Browser,
) -> None:
    """A token that somebody planted before is worth nothing."""
    first = await with_password(ada)
    token = ada.client.cookies["__Host-agent-session"]
    out = await sign_out(ada, first)
    ada.client.cookies.set("__Host-agent-session", token, "agent.example")
    stale = await ada.get("/")
    back = await ada.send(stale, "/sign-in", name="ada", password=PASSWORD)

    assert (True, "/sign-in") == ("You are signed out." in out.text, stale.path)
    assert back.path == "/"
    assert token != ada.client.cookies["__Host-agent-session"]


async def test_a_session_ends_when_it_is_idle_or_too_old(ada: Browser) -> None:
    await with_password(ada)
    url = ada.services.stores.database.url
    await run(url, "UPDATE operator_sessions SET seen_at = now() - interval '59 min'")
    used = await ada.get("/")
    await run(url, "UPDATE operator_sessions SET seen_at = now() - interval '61 min'")
    idle = await ada.get("/")
    home = await ada.send(idle, "/sign-in", name="ada", password=PASSWORD)
    await run(url, "UPDATE operator_sessions SET ends_at = now()")
    old = await ada.get("/")

    pages = (used, idle, home, old)
    assert ["/", "/sign-in", "/", "/sign-in"] == [page.path for page in pages]


async def test_a_page_that_renews_itself_keeps_no_session_alive(ada: Browser) -> None:
    await ada.sign_in("ada")
    url = ada.services.stores.database.url
    await run(url, "UPDATE operator_sessions SET seen_at = now() - interval '59 min'")
    await ada.get("/", **{"hx-request": "true"})
    seen = await run(
        url,
        "SELECT seen_at < now() - interval '58 min' AS old FROM operator_sessions",
    )
    await run(url, "UPDATE operator_sessions SET seen_at = now() - interval '61 min'")
    ended = await ada.get("/", **{"hx-request": "true"})

    assert [True] == [row["old"] for row in seen]
    assert (204, "true") == (ended.status, ended.response.headers["hx-refresh"])


async def test_an_operator_who_is_removed_is_out_at_once(ada: Browser) -> None:
    await ada.sign_in("ada", "viewer")
    before = await ada.get("/")
    stores = ada.services.stores
    await OperatorAdmin(stores.database, stores.pipe).remove("ada", HERE)
    after = await ada.get("/")

    assert [200, 404] == [before.status, after.status]  # nobody else could sign in


async def test_where_nobody_is_registered_a_link_of_this_machine_lets_in(
    ada: Browser,
) -> None:
    """As on the command line: then anybody who reaches the database may do everything. With
    the first operator that ends.
    """
    stores = ada.services.stores
    token = await Invitations(stores.database).admit_once(ADA)
    path = f"/link/{token}"
    home = await ada.send(await ada.get(path), path)
    log = await ada.get("/audit")
    await OperatorAdmin(stores.database, stores.pipe).add("root", HERE)

    assert (200, "/") == (home.status, home.path)
    assert "operator.sign-in" in log.text
    assert "/sign-in" == (await ada.get("/")).path


# --- forms and ways -----------------------------------------------------------


async def test_a_form_of_another_site_changes_nothing(ada: Browser) -> None:
    """It cannot have the token; browsers also say where it is from."""
    page = await ada.sign_in("ada")
    form = page.form("/sign-out").fields
    foreign = [
        await ada.post("/sign-out", form, origin="https://evil.example"),
        await ada.post(
            "/sign-out", form, origin="null", **{"sec-fetch-site": "cross-site"}
        ),
        await ada.post("/sign-out", form, **{"sec-fetch-site": "same-site"}),
        await ada.post("/sign-out", {**form, "csrf": "guessed"}),
        await ada.post("/sign-out", {}),
    ]

    assert [403, 403, 403] == [page.status for page in foreign[:3]]
    assert "Nothing was changed" in foreign[0].text
    assert "/" == (await ada.get("/")).path  # signed in still


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "null"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
        {"origin": "https://behind.example", "sec-fetch-site": "same-origin"},
    ],
)
async def test_a_proxy_that_changes_headers_locks_nobody_out(
    ada: Browser, headers: dict[str, str]
) -> None:
    """Its own `Referrer-Policy`, or another `Host`: the form's token is what counts."""
    page = await ada.sign_in("ada")
    out = await ada.post("/sign-out", page.form("/sign-out").fields, **headers)

    assert out.response.history[0].status_code == 303


async def test_an_unknown_name_costs_a_hash_too(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of an answer tells no names."""
    await sign_out(ada, await with_password(ada))
    verified: list[str] = []
    hasher = passwords._hasher()

    class Counting:
        hash = hasher.hash

        def verify(self, stored: str, password: str) -> bool:
            verified.append(password)
            return hasher.verify(stored, password)

    monkeypatch.setattr(passwords, "_hasher", Counting)
    for name in ("ada", "nobody", ""):
        await sign_in(ada, name=name, password="x" * 500)

    assert ["x" * (passwords.MAX_CHARS + 1)] * 3 == verified


async def test_too_many_sign_ins_at_once_are_put_off(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash takes 64 MiB; from many addresses no limit for one of them helps."""
    await sign_out(ada, await with_password(ada))
    monkeypatch.setattr(passwords, "AT_ONCE", 0)
    page = await sign_in(ada, password=PASSWORD)

    assert (429, True) == (page.status, "Please try again." in page.text)


async def test_nobody_is_signed_in_by_a_form_of_another_site(ada: Browser) -> None:
    """It would not have the cookie that goes with the form."""
    await sign_out(ada, await with_password(ada))
    page = await ada.get("/sign-in")
    form = page.form("/sign-in").fields | {"name": "ada", "password": PASSWORD}
    ada.client.cookies.clear()
    refused = await ada.post("/sign-in", form)

    assert (403, True) == (refused.status, "This form is too old" in refused.text)


async def test_over_plain_http_nobody_signs_in_but_on_the_machine_itself(
    ada: Browser,
) -> None:
    path = await link_of(ada)
    app = ada.client._transport.app  # type: ignore[attr-defined]
    async with browser(app, "http://agent.example") as open_way:
        refused = await open_way.get(path)
    async with browser(app, "http://127.0.0.1:8080") as near:
        page = Page(await near.get(path))
        form = page.form(path).fields | {"password": PASSWORD, "again": PASSWORD}
        home = await near.post(path, data=form)
        names = set(near.cookies)

    assert (403, True) == (refused.status_code, "over https" in refused.text)
    assert (200, {"agent-session"}) == (home.status_code, names)


async def test_what_cannot_be_a_form_is_refused(ada: Browser) -> None:
    await ada.sign_in("ada")
    client = ada.client
    large = await client.post("/sign-out", data={"csrf": "x" * 1_000_001})
    many = await client.post("/sign-out", data={f"f{n}": "" for n in range(600)})
    other = await client.post("/sign-out", json={"csrf": "x"})
    broken = await client.post(
        "/sign-out",
        content=b"\xff=%ff",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )

    assert [413, 400, 415, 400] == [
        each.status_code for each in (large, many, other, broken)
    ]


async def test_every_page_has_its_headers(ada: Browser) -> None:
    await with_password(ada)
    pages = [await ada.get(path) for path in ("/", "/sign-in", "/link/x")]

    for page in pages:
        headers = page.response.headers
        wanted = {**HEADERS, **rendering.HEADERS}
        assert wanted == {name: headers.get(name) for name in wanted}
        assert headers["strict-transport-security"].startswith("max-age=")


async def test_cookies_are_for_this_host_alone(ada: Browser) -> None:
    path = await link_of(ada)
    page = await ada.get(path)
    response = await ada.client.post(
        path,
        data=page.form(path).fields | {"password": PASSWORD, "again": PASSWORD},
        follow_redirects=False,
    )
    session = next(
        each
        for each in response.headers.get_list("set-cookie")
        if each.startswith("__Host-agent-session=")
    )

    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} == {
        part.strip() for part in session.split(";")[1:]
    }
    assert len(session.split("=")[1]) >= 43  # 256 bits


async def test_tokens_and_passwords_are_kept_as_hashes(ada: Browser) -> None:
    await with_password(ada)
    token = ada.client.cookies["__Host-agent-session"]
    rows = await run(
        ada.services.stores.database.url,
        "SELECT to_jsonb(o)::text AS row FROM operators o "
        "UNION ALL SELECT to_jsonb(s)::text FROM operator_sessions s",
    )
    kept = " ".join(row["row"] for row in rows)

    assert (False, False) == (token in kept, PASSWORD in kept)
    assert "$argon2id$" in kept


async def test_files_are_named_by_what_is_in_them(ada: Browser) -> None:
    await ada.sign_in("ada")
    page = await ada.get("/")
    style = next(
        part
        for part in page.html.split('"')
        if part.startswith("/static/console.css")
    )
    file = await ada.client.get(style)
    nothing = await ada.client.get("/static/..%2fpage.py")

    assert (200, "text/css; charset=utf-8") == (
        file.status_code,
        file.headers["content-type"],
    )
    assert "immutable" in file.headers["cache-control"]
    assert 404 == nothing.status_code


async def test_a_starting_agent_says_so(database_url: str, redis_url: str) -> None:
    async with console(database_url, redis_url) as ada:
        from agent.web.app import web_app
        from agent.web.state import InstanceState

        async with browser(web_app(InstanceState()), HTTPS) as client:
            page = await client.get("/")

    assert ada
    assert (503, True) == (page.status_code, "is starting" in page.text)
