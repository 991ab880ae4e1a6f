"""`agent console`: the pages alone, on this machine, with a link that signs in once."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable, Sequence

from agent.core.limits import Limited, LocalLimiter, Rule
from agent.llm.router import open_models
from agent.settings import Settings
from agent.web.app import web_app
from agent.web.console.services import Judge, Services
from agent.web.server import http_server
from agent.web.state import InstanceState
from storage.control.audit import Author
from storage.control.operators.invitations import Invitations
from storage.migrate.stores import open_stores

LOOPBACK = "127.0.0.1"

Open = Callable[[str], bool]
"""Opens an address in a browser; False: there is none."""


async def run_console(
    settings: Settings,
    author: Author,
    tell: Callable[[str], None],
    open_: Open = webbrowser.open,
    *,
    port: int = 0,
) -> None:
    """Until cancelled. `port` 0: any that is free.

    Raises Rejected when the author is no operator, and ConfigurationError.
    """
    state = InstanceState()

    async with open_models(settings) as models, open_stores(settings) as stores:
        services = Services(settings, stores, models, _judge(), state)
        token = await Invitations(stores.database).admit_once(author)
        app = web_app(state, find_services=lambda: services)

        async with http_server(app, LOOPBACK, port) as bound:
            link = f"http://{LOOPBACK}:{bound}/link/{token}"
            tell(f"The console is at {link}")
            tell("The link works once, for five minutes. Ctrl-C ends the console.")
            await asyncio.to_thread(open_, link)
            await asyncio.Event().wait()


def _judge() -> Judge:
    """One process, so its own counts are enough."""
    limiter = LocalLimiter()

    async def judge(rules: Sequence[Rule]) -> Limited | None:
        return limiter.judge(rules)

    return judge
