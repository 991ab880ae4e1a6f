"""Whatever address a browser asks for, it gets a page; a program gets a problem."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from agent.web.app import web_app
from agent.web.console.pages import PAGES
from agent.web.console.pages.queries import OWN, QUERIES
from agent.web.console.rendering import HEADERS
from agent.web.console.services import Services
from agent.web.state import InstanceState
from tests.support.browser import HTTPS, Browser, Page, browser

CHROMIUM = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SECRET = "a-secret-of-a-link"

NOWHERE = (
    "/nothing",
    "/nothing/",
    "/flags/a/b/c",
    "/flags%2Fa%2Fb%2Fc",
    "//flags",
    "/%ff",
    "/%00",
    "/people/%2e%2e/x/y",
    "/static/../../secret",
    "/link/a/b",
    "/api",
    "/api/v2/flags",
    "/health/nothing",
    f"/{'x' * 5_000}",
)

OTHERWISE = (
    ("PUT", "/"),
    ("DELETE", "/flags"),
    ("PATCH", "/flags/replies"),
    ("OPTIONS", "/limits"),
    ("TRACE", "/"),
    ("POST", "/system"),
    ("GET", "/sign-out"),
)

PROGRAMS = ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1//flags", "/api/v1/%ff")


@pytest.mark.parametrize("path", NOWHERE)
async def test_an_unknown_address_is_a_page_with_a_way_on(
    ada: Browser, path: str
) -> None:
    response = await ada.client.get(path, headers=CHROMIUM)
    program = await ada.client.get(path)

    _is_a_page(response, 404, "There is nothing at this address.")
    assert (404, {"error"}) == (program.status_code, {*program.json()})


@pytest.mark.parametrize(("method", "path"), OTHERWISE)
async def test_another_method_is_a_page_too(
    ada: Browser, method: str, path: str
) -> None:
    await ada.sign_in("ada")
    response = await ada.client.request(method, path, headers=CHROMIUM)

    _is_a_page(response, 405, "This address does not take that method.")
    assert "allow" in response.headers


@pytest.mark.parametrize("path", PROGRAMS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_below_the_api_there_are_only_problems(
    ada: Browser, method: str, path: str
) -> None:
    """Also for a browser."""
    response = await ada.client.request(method, path, headers=CHROMIUM)

    assert "application/problem+json" == response.headers["content-type"]
    assert (401, 401) == (response.status_code, response.json()["status"])


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "[x]", ""])
async def test_a_host_that_cannot_be_one_is_a_page(ada: Browser, host: str) -> None:
    await ada.sign_in("ada")
    for base in (HTTPS, "http://127.0.0.1"):
        for path in ("/", "/nothing", "/sign-in"):
            headers = {**CHROMIUM, "host": host}
            response = await ada.client.get(base + path, headers=headers)

            assert response.status_code < 500, (base, path, response.text)
            assert response.headers["content-type"].startswith("text/html")


async def test_an_unexpected_error_is_a_page_or_a_problem_and_one_line() -> None:
    """The line has the class and the route, and nothing of what was asked."""

    def broken() -> Services:
        raise LookupError(SECRET)

    app = web_app(InstanceState(), find_services=broken)
    async with browser(app, HTTPS) as client:
        with capture_logs() as logs:
            page = await client.get(f"/link/{SECRET}", headers=CHROMIUM)
            problem = await client.get(f"/api/v1/flags?q={SECRET}")

    _is_a_page(page, 500, "Something went wrong here")
    assert "application/problem+json" == problem.headers["content-type"]
    assert (500, 500) == (problem.status_code, problem.json()["status"])
    assert [("LookupError", "/link/{token}"), ("LookupError", "/api/v1")] == [
        (line["error"], line["route"]) for line in logs
    ]
    for line in logs:
        line.pop("exc_info")
        assert SECRET not in str(line)


def _is_a_page(response: httpx.Response, status: int, sentence: str) -> None:
    page = Page(response)

    assert (status, "text/html; charset=utf-8") == (
        response.status_code,
        response.headers["content-type"],
    ), page.text
    assert sentence in page.text
    assert "/" in page.links
    assert (
        HEADERS["content-security-policy"]
        == (response.headers["content-security-policy"])
    )


UNKNOWN_VALUES = (
    ("/conversations", "state", "nonsense"),
    ("/conversations", "order", "nonsense"),
    ("/conversations", "troubled", "maybe"),
    ("/limits", "after", "nonsense"),
    ("/audit", "older", "nonsense"),
    ("/flags/replies", "ask", "maybe"),
    ("/account", "factor", "old"),
)


@pytest.mark.parametrize(("path", "name", "value"), UNKNOWN_VALUES)
async def test_an_unknown_value_is_said(
    ada: Browser, path: str, name: str, value: str
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(f"{path}?{name}={value}")
    empty = await ada.get(f"{path}?{name}=")

    assert 200 == page.status
    assert f'There is no {name} "{value}"; it is left out.' in page.text
    assert "it is left out" not in empty.text


async def test_an_unknown_name_is_said_on_every_page(ada: Browser) -> None:
    """Harmlessly, whatever it is."""
    await ada.sign_in("ada")
    name = "<script>p</script>\u202e"
    for page in PAGES:
        if "{" in page.path:
            continue

        shown = await ada.get(f"{page.path}?{urlencode({'page': '2', name: 'x'})}")
        if page.path.startswith("/limits/"):
            continue  # without a subject there is nothing to show

        assert 200 == shown.status, page.path
        if page.path in OWN:
            continue

        assert 'This page takes no "page"; it is shown without it.' in shown.text
        assert "<script>p" not in shown.html
        assert "\u202e" not in shown.html


def test_each_query_is_of_a_page() -> None:
    assert {*QUERIES} <= {page.path for page in PAGES}


@pytest.mark.parametrize("path", ["/flags/", "/limits/", "/conversations/"])
async def test_a_slash_at_the_end_leads_to_the_page(ada: Browser, path: str) -> None:
    await ada.sign_in("ada")
    page = await ada.get(path)

    assert (200, path.rstrip("/")) == (page.status, page.path)


@pytest.mark.parametrize("words", ["a|b", "a&b=c", "%", "a+b", "\\", "'\"", "ä/ö"])
async def test_a_filter_keeps_every_character(ada: Browser, words: str) -> None:
    """In the field, and in the address of the next page."""
    await ada.sign_in("ada")
    for path, name in (("/audit", "actor"), ("/limits", "q"), ("/flags", "q")):
        page = await ada.get(f"{path}?{urlencode({name: words})}")
        [form] = [one for one in page.forms if name in one.fields]

        assert (200, words) == (page.status, form.fields[name]), path


async def test_a_nul_in_any_query_is_no_failure(ada: Browser) -> None:
    """Postgres takes none, in whatever field it stands."""
    await ada.sign_in("ada")
    asked = [
        f"{path.format(name='replies', id=UUID(int=1))}?{name}=a%00b"
        for path, names in QUERIES.items()
        for name in names
    ]
    failed = [path for path in asked if (await ada.get(path)).status >= 500]

    assert len(asked) > len(QUERIES)
    assert [] == failed
