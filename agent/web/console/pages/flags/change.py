"""`/flags/<name>`: changing, to the version that the form shows."""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
)
from urllib.parse import quote

from msgspec import Struct
from starlette.responses import Response

from agent.core.errors import (
    Conflict,
    Rejected,
)
from agent.web.console.confirming import unconfirmed
from agent.web.console.errors import (
    Stopped,
    described,
    status_of,
)
from agent.web.console.page import (
    Fields,
    PageContext,
)
from agent.web.console.pages.flags import seen
from storage.control.changes import difference
from storage.control.flags import Changed
from storage.control.flags.named_targets import NamedTarget
from storage.control.flags.questions import (
    checked,
    set_question,
    times,
    undo_question,
    unset_question,
)
from storage.control.targets import target_of


class Wanted(Struct, frozen=True):
    """A change that is ready to be made."""

    make: Callable[[], Awaitable[Changed]]
    question: str | None
    """Asked first, where more people than one are concerned."""


async def act(
    context: PageContext,
) -> Response:
    """Asks first about what is for everybody. A form that is stale, or cannot be, comes
    back with the reason and with what was typed.
    """
    kind = _KINDS.get(context.form["do"])
    if kind is None:
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    try:
        wanted = await kind(context)
        if question := await unconfirmed(
            context,
            wanted.question,
            _path(context),
            wanted.make,
        ):
            return question
        made = await wanted.make()
    except (Rejected, Conflict) as error:
        problem, status = described(error), status_of(error)
        return await seen.one(
            context,
            problem=problem,
            status=status,
        )

    return context.redirect(f"/flags/{made.name}", _told(made))


def _path(
    context: PageContext,
) -> str:
    return f"/flags/{quote(context.address['name'])}"


async def _set(
    context: PageContext,
) -> Wanted:
    flags, form, name = context.services.flags, context.form, context.address["name"]
    flag = (await flags.get(name)).flag
    target = checked(_target(form))
    typed = None if form["by_default"] else form.raw("value")
    if typed is None and not target.kill:
        raise Rejected("Only a kill switch can say: the default.")
    value = None if typed is None else flag.parsed(typed)
    if value is not None and not form["force"]:
        await flags.check.find_model(flag, value)

    async def make() -> Changed:
        author, version = context.author(), form.number("version")
        return await flags.set(
            name,
            target,
            value,
            author,
            expected=version,
        )

    return Wanted(
        make,
        set_question(
            name,
            typed,
            target,
        ),
    )


async def _unset(
    context: PageContext,
) -> Wanted:
    flags, form, name = context.services.flags, context.form, context.address["name"]
    target = target_of(form["scope"])

    async def make() -> Changed:
        author, version = context.author(), form.number("version")
        return await flags.unset(
            name,
            target,
            author,
            expected=version,
        )

    return Wanted(make, unset_question(name, target))


async def _undo(
    context: PageContext,
) -> Wanted:
    flags, form, name = context.services.flags, context.form, context.address["name"]
    number = form.number("change")
    past = await flags.history(name, None)
    undone = next((entry for entry in past if entry.id == number), None)
    if undone is None:
        raise Rejected(f"There is no such change of {name}.")

    async def make() -> Changed:
        author, version = context.author(), form.number("version")
        return await flags.undo(
            name,
            author,
            entry=undone.id,
            expected=version,
        )

    return Wanted(make, undo_question(undone))


_KINDS: Mapping[str, Callable[[PageContext], Awaitable[Wanted]]] = {
    "set": _set,
    "unset": _unset,
    "undo": _undo,
}


def _target(
    form: Fields,
) -> NamedTarget:
    """For whom, as typed. Raises Rejected."""
    starts, ends, lasting = (form[name] or None for name in ("starts", "ends", "for"))

    return NamedTarget(
        form["rule"] or None,
        _words(form["people"]),
        _words(form["channels"]),
        form["chat"] or None,
        _share(form["percentage"]),
        form["salt"] or None,
        form["kill"] == "yes",
        *times(
            starts,
            ends,
            lasting,
        ),
    )


def _words(
    typed: str,
) -> tuple[str, ...]:
    return tuple(typed.replace(",", " ").split())


def _share(
    typed: str,
) -> float | None:
    if not typed:
        return None
    try:
        return float(typed.removesuffix("%"))
    except ValueError:
        raise Rejected("A share is a number of percent, such as 12.5.") from None


def _told(
    made: Changed,
) -> str:
    if made.epoch is None:
        return f"{made.name} is so already."

    return f"{made.name}: {difference(made.before, made.after)}"
