"""What a page is, and what its function gets and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from agent.control.permissions import Permission, Role, may
from agent.web.console.cookies import Cookies
from agent.web.console.rendering import html
from agent.web.console.services import Services
from storage.control.audit import Author


class Viewer(Struct, frozen=True):
    """The operator who asks."""

    operator: str
    role: Role
    csrf: str
    """Each form carries it; the template `forms.html` does."""
    session: UUID
    now: datetime
    address: str

    def may(
        self,
        permission: Permission,
    ) -> bool:
        return may(self.role, permission)


class Fields:
    """What a form or the part after `?` says."""

    def __init__(
        self,
        values: Mapping[str, Sequence[str]],
    ) -> None:
        self._values = values

    def __getitem__(
        self,
        name: str,
    ) -> str:
        """Without blanks at its ends; empty where it is missing."""
        return self.raw(name).strip()

    def raw(
        self,
        name: str,
    ) -> str:
        """As it was typed, for passwords and texts: browsers send other ends of lines."""
        value = next(iter(self._values.get(name, ())), "")

        return value.replace("\r\n", "\n")

    def all(
        self,
        name: str,
    ) -> Sequence[str]:
        return [value.strip() for value in self._values.get(name, ())]

    def number(
        self,
        name: str,
    ) -> int | None:
        """None: it is no whole number that a row could have."""
        value = self[name]

        return int(value) if value.isdecimal() and len(value) < 19 else None

    def items(self) -> list[tuple[str, str]]:
        """All of them, to send a form once more."""
        return [(name, one) for name, each in self._values.items() for one in each]


class PageContext(Struct, frozen=True):
    """One request for one page. The viewer may see it, and a form is truly theirs."""

    page: Page
    viewer: Viewer
    services: Services
    menu: Sequence[Page]
    """Pages that the viewer may see."""
    address: Mapping[str, str]
    """Parts of the path, such as `name` of `/flags/{name}`."""
    query: Fields
    form: Fields
    cookies: Cookies
    told: str = ""
    """What the page before wants said: what was changed."""
    is_fragment: bool = False
    """htmx asks: only the live part is wanted."""
    unknowns: Sequence[str] = ()
    """What of the address is not known, and so was left out."""

    def author(self) -> Author:
        """The author of a change, with the reason that the form names. Raises Rejected."""
        origin = f"console from {self.viewer.address}"

        return Author(self.viewer.operator, origin, self.form["reason"] or None)

    def render(
        self,
        template: str,
        status: int = 200,
        **values: Any,
    ) -> Response:
        """A page. The template gets `page`, `viewer`, `menu`, `told`, `unknowns`, these."""
        shown = {
            "page": self.page,
            "viewer": self.viewer,
            "menu": self.menu,
            "told": self.told,
            "is_fragment": self.is_fragment,
            "unknowns": self.unknowns,
        }

        response = html(template, status, **shown, **values)
        if self.told:
            self.cookies.drop(response, "told")

        return response

    def redirect(
        self,
        path: str,
        told: str = "",
    ) -> Response:
        """After a change, so that loading the page again changes nothing twice."""
        response = RedirectResponse(path, 303)
        if told:
            self.cookies.tell(response, told)

        return response


Handler = Callable[[PageContext], Awaitable[Response]]


class Page(Struct, frozen=True):
    """A row of the table of pages."""

    path: str
    """Such as `/flags/{name}`."""
    title: str
    permission: Permission
    show: Handler
    """Answers GET."""
    act: Handler | None = None
    """Answers POST: changes something, and redirects."""
    act_permission: Permission | None = None
    """What POST takes, if it is more than seeing."""
    in_menu: bool = False
