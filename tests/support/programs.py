"""Programs that use the API: an instance in this process, and tokens of operators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from agent.control.permissions import Role, Scope
from agent.web.console.services import Services
from storage.control.audit import Author
from storage.control.operators.api_tokens import ApiTokens
from tests.support.browser import Browser, console, register

OPERATORS = {Scope.READ: "vera", Scope.OPERATE: "omar", Scope.ADMIN: "ada"}
"""Whose tokens they are; each has the role that goes with the scope."""

ROLES = {
    Scope.READ: Role.VIEWER,
    Scope.OPERATE: Role.OPERATOR,
    Scope.ADMIN: Role.ADMIN,
}


@dataclass
class Programs:
    """Programs, each with the token of one scope."""

    browser: Browser
    tokens: dict[Scope, str] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        return self.browser.services

    async def token(self, scope: Scope) -> str:
        """Made once for each scope."""
        if scope not in self.tokens:
            name = OPERATORS[scope]
            await register(self.services, name, ROLES[scope])
            tokens = ApiTokens(self.services.stores.database)
            _, made = await tokens.add("a test", scope, Author(name, "a test"))
            self.tokens[scope] = made

        return self.tokens[scope]

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        scope: Scope = Scope.ADMIN,
        token: str | None = None,
        match: str | None = None,
        **more: Any,
    ) -> httpx.Response:
        """A request below `/api/v1`, with the token of this scope, or with `token`."""
        shown = await self.token(scope) if token is None else token
        headers = {"authorization": f"Bearer {shown}"} if shown else {}
        if match is not None:
            headers["if-match"] = match
        headers |= more.pop("headers", {})

        return await self.browser.client.request(
            method,
            f"/api/v1{path}",
            json=json,
            headers=headers,
            follow_redirects=False,
            **more,
        )

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.ask("GET", path, **more)


@asynccontextmanager
async def programs(database_url: str, redis_url: str) -> AsyncIterator[Programs]:
    async with console(database_url, redis_url) as browser:
        yield Programs(browser)
