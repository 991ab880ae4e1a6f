"""A browser of the console without a screen: it keeps cookies and sends forms as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import httpx

from agent.core.limits import Limited, LocalLimiter, Rule
from agent.ports import LanguageModels
from agent.settings import Settings
from agent.web.app import web_app
from agent.web.console.services import Judge, Services
from agent.web.state import InstanceState
from storage.control.audit import Author
from storage.control.operators.admin import OperatorAdmin
from storage.control.operators.invitations import Invitations
from storage.migrate.stores import OpenStores
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.operators import OperatorModels

HTTPS = "https://agent.example"
HOME = Path("/nonexistent")
PASSWORD = "seven grey herons wade"
HERE = Author("root", "a test")


@dataclass
class Form:
    """A form of a page."""

    action: str
    fields: dict[str, str]
    method: str = "post"


class Page(HTMLParser):
    """What a page says: its text, its forms and its links."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response
        self.status = response.status_code
        self.html = response.text
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self._field = ""
        self.feed(self.html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def path(self) -> str:
        return self.response.url.raw_path.decode()

    @property
    def csrf(self) -> str:
        return self._shown("csrf")

    @property
    def version(self) -> str:
        """Of what the page is about."""
        return self._shown("version")

    def _shown(self, field: str) -> str:
        return next(one.fields[field] for one in self.forms if field in one.fields)

    def form(self, action: str) -> Form:
        """The one that is sent there."""
        path = self.response.url.path
        found = [
            one
            for one in self.forms
            if one.method == "post" and (one.action or path) == action
        ]
        assert len(found) == 1, (action, [one.action for one in self.forms])

        return found[0]

    def handle_starttag(
        self, tag: str, attrs: Sequence[tuple[str, str | None]]
    ) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = values.get("method", "get")
            self.forms.append(Form(values.get("action", ""), {}, method))
        if tag in ("select", "textarea") and self.forms:
            self._field = values.get("name", "")
            self.forms[-1].fields[self._field] = ""
        if tag == "option" and self._field:
            self._choose(values.get("value", ""), is_chosen="selected" in values)
        if tag == "a":
            self.links.append(values.get("href", ""))
        if tag == "input" and self.forms and values.get("name"):
            ticked = values.get("type") not in ("checkbox", "radio")
            if ticked or "checked" in values:
                self.forms[-1].fields[values["name"]] = values.get("value", "")

    def _choose(self, value: str, *, is_chosen: bool) -> None:
        """The first option, unless another is chosen."""
        fields = self.forms[-1].fields
        if is_chosen or not fields[self._field]:
            fields[self._field] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._field:
            fields = self.forms[-1].fields
            fields[self._field] = fields[self._field].removeprefix("\n")
        if tag in ("select", "textarea"):
            self._field = ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._field and self.lasttag == "textarea":
            self.forms[-1].fields[self._field] += data


@dataclass
class Browser:
    """One person at the console."""

    client: httpx.AsyncClient
    services: Services

    async def get(self, path: str, **headers: str) -> Page:
        return Page(await self.client.get(path, headers=headers))

    async def post(
        self, path: str, fields: Mapping[str, str], **headers: str
    ) -> Page:
        sent = {"origin": HTTPS, **headers}

        return Page(await self.client.post(path, data=dict(fields), headers=sent))

    async def send(self, page: Page, action: str, **fields: str) -> Page:
        """Sends a form of the page, with these fields filled in."""
        form = page.form(action)

        return await self.post(action, {**form.fields, **fields})

    async def sign_in(self, name: str, role: str = "admin") -> Page:
        """As an operator of this role, who is made first where there is none."""
        await register(self.services, name, role)
        token = await Invitations(self.services.stores.database).admit_once(
            Author(name, "a test")
        )
        path = f"/link/{token}"

        return await self.send(await self.get(path), path)


async def register(services: Services, name: str, role: str) -> None:
    """Registers an operator. The first one is an admin called root, who registers others."""
    from agent.control.permissions import Role

    stores = services.stores
    admin = OperatorAdmin(stores.database, stores.pipe)
    await admin.add("root", HERE)
    await admin.add(name, HERE, role=Role(role))


@asynccontextmanager
async def console(
    database_url: str,
    redis_url: str,
    base: str = HTTPS,
    *,
    language_models: LanguageModels | None = None,
    **settings: object,
) -> AsyncIterator[Browser]:
    """The application in this process, with real stores, and a browser before it."""
    values = {"database_url": database_url, "redis_url": redis_url, **settings}
    state = InstanceState()
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        stores = OpenStores(database_url, redis_url, database, pipe, ())
        services = Services(
            Settings.model_validate(values),
            stores,
            language_models or OperatorModels(),
            judge(),
            state,
        )
        app = web_app(state, find_services=lambda: services)
        async with browser(app, base) as client:
            yield Browser(client, services)


def browser(app: object, base: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))  # type: ignore[arg-type]

    return httpx.AsyncClient(
        transport=transport, base_url=base, follow_redirects=True, trust_env=False
    )


def judge() -> Judge:
    """A limiter of this process."""
    limiter = LocalLimiter()

    async def judged(rules: Sequence[Rule]) -> Limited | None:
        return limiter.judge(rules)

    return judged
