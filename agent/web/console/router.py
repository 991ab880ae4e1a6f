"""The console's routes: who may see a page is decided here, once for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import structlog
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.control.permissions import Permission, refusal
from agent.core.errors import AgentError
from agent.web.console import sign_in, static_files
from agent.web.console.confirming import BACK
from agent.web.console.cookies import PLAIN, Cookies, is_own, is_private, is_secure
from agent.web.console.errors import Stopped
from agent.web.console.forms import read_form, read_query
from agent.web.console.oidc import routes as oidc
from agent.web.console.page import Fields, Page, PageContext, Viewer
from agent.web.console.pages import PAGES
from agent.web.console.pages.queries import known_query
from agent.web.console.rendering import stopped
from agent.web.console.services import Find, Services
from agent.web.failures import UNEXPECTED, note_failure
from storage.control.operators.sessions import Session

STARTING = "The agent is starting, or it stops. Load this page again in a moment."
FOREIGN = (
    "This form was not sent from a page of your session. Nothing was changed. Go back, load "
    "the page again, and send it once more."
)
ENDED = (
    "Your session has ended, so nothing was changed. Sign in, and send it once more."
)

log = structlog.get_logger()


def routes(find: Find) -> Sequence[Route]:
    """All pages. Until somebody has a password or a link, there is nothing at any address."""
    outside = (*sign_in.ROUTES, *oidc.ROUTES)

    return [
        static_files.ROUTE,
        *(
            Route(path, _outside(find, answer), methods=[method])
            for method, path, answer in outside
        ),
        *(
            Route(
                page.path,
                _inside(find, page),
                methods=["GET", "POST"] if page.act else ["GET"],
            )
            for page in PAGES
        ),
    ]


Answer = Callable[[Request, Services], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def _outside(
    find: Find,
    answer: Answer,
) -> Endpoint:
    """For somebody who is not signed in."""

    async def endpoint(request: Request) -> Response:
        services = _open(find)
        await _check_is_there(services)
        _check_way(request)

        return await answer(request, services)

    return _guarded(endpoint)


def _inside(
    find: Find,
    page: Page,
) -> Endpoint:
    """For somebody who is, and may see the page."""

    async def endpoint(request: Request) -> Response:
        services = _open(find)
        session = await _session(request, services)
        if session is None:
            await _check_is_there(services)
        _check_way(request)
        if session is None:
            return _to_sign_in(request)

        context = await _context(request, services, page, session)
        if request.method == "POST":
            return await _acted(context)

        return await page.show(context)

    return _guarded(endpoint)


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Says what went wrong as a page."""

    async def guarded(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except (Stopped, AgentError) as error:
            response = stopped(error)
        except HTTPException:  # nothing is there; the application says it
            raise
        except Exception as error:
            note_failure(request, error)
            response = stopped(Stopped(500, UNEXPECTED))

        if is_secure(request):
            response.headers["strict-transport-security"] = "max-age=31536000"

        return response

    return guarded


def _open(find: Find) -> Services:
    services = find()
    if services is None:
        raise Stopped(503, STARTING, {"retry-after": "2"})

    return services


async def _check_is_there(services: Services) -> None:
    """Raises HTTPException as at any address where there is nothing."""
    is_set = services.settings.oidc_issuer is not None
    if not is_set and not await services.sign_in.is_open():
        raise HTTPException(404)


def _check_way(request: Request) -> None:
    """Raises Stopped where others could read along, and for forms of other sites."""
    if not is_private(request):
        raise Stopped(403, PLAIN)
    if request.method == "POST" and not is_own(request):
        raise Stopped(403, FOREIGN)


async def _session(
    request: Request,
    services: Services,
) -> Session | None:
    token = Cookies.of(request).get("session")
    if not token:
        return None

    # A page that renews itself is no sign of a person.
    active = request.method == "POST" or not _is_fragment(request)

    return await services.sessions.find(token, active=active)


def _is_fragment(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def _to_sign_in(request: Request) -> Response:
    cookies = Cookies.of(request)
    if _is_fragment(request):
        return Response(status_code=204, headers={"hx-refresh": "true"})
    if request.method == "POST":
        response = RedirectResponse("/sign-in", 303)
        cookies.tell(response, ENDED)
        return response

    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    after = "" if wanted == "/" else f"?next={quote(wanted)}"

    return RedirectResponse(f"/sign-in{after}", 303)


async def _context(
    request: Request, services: Services, page: Page, session: Session
) -> PageContext:
    address = sign_in.address_of(request)
    viewer = Viewer(
        session.operator,
        session.role,
        session.csrf,
        session.id,
        session.now,
        address,
    )
    cookies = Cookies.of(request)
    query, notes = known_query(page.path, read_query(request))

    context = PageContext(
        page,
        viewer,
        services,
        [one for one in PAGES if one.in_menu and viewer.may(one.permission)],
        request.path_params,
        query,
        Fields({}),
        cookies,
        cookies.get("told"),
        _is_fragment(request),
        notes,
    )
    _check(context, page.permission)
    if request.method != "POST":
        return context

    return replace(context, form=await read_form(request), told="")


async def _acted(context: PageContext) -> Response:
    page = context.page
    assert page.act is not None
    if not sign_in.same(context.form["csrf"], context.viewer.csrf):
        raise Stopped(403, FOREIGN)
    if page.act_permission is not None:
        _check(context, page.act_permission)
    if context.form[BACK]:  # to the page, with what was typed
        return await page.show(context)

    return await page.act(context)


def _check(
    context: PageContext,
    permission: Permission,
) -> None:
    viewer = context.viewer
    if not viewer.may(permission):
        raise Stopped(403, refusal(viewer.operator, viewer.role, permission))
