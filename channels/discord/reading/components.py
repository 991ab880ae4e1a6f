"""Messages that a program laid out in components, in words.

Kinds of them: https://docs.discord.com/developers/components/reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from channels.discord.reading.fields import Payload, number, part, parts, string

DEPTH = 5
"""How deep the parts of a laid-out message are followed."""

BUTTON, TEXT_DISPLAY, THUMBNAIL, FILE = 2, 10, 11, 13

Read = Callable[[str], str]
"""Makes a text with mentions and other tokens one that people read."""


def laid_out(
    message: Payload,
    read: Read,
    depth: int = DEPTH,
) -> Iterator[str]:
    """What each component says, in order."""
    inside = (
        *parts(message, "components"),
        part(message, "component"),
        part(message, "accessory"),
    )
    for component in inside if depth else ():
        yield _said(component, read)
        for item in parts(component, "items"):  # of a gallery
            yield described("image", string(item, "description"))

        yield from laid_out(component, read, depth - 1)


def described(
    named: str,
    about: str,
) -> str:
    """`[image: what it shows]`."""
    return f"[{named}: {about}]" if about else f"[{named}]"


def _said(
    component: Payload,
    read: Read,
) -> str:
    kind = number(component, "type")
    if kind == TEXT_DISPLAY:
        return read(string(component, "content"))
    if kind == BUTTON:
        return _button(component)
    if kind == FILE:
        return f"[file {string(component, 'name')}]".replace(" ]", "]")
    if kind == THUMBNAIL:
        about = string(component, "description")
        return described("image", about) if about else ""

    return _field(component)


def _button(
    button: Payload,
) -> str:
    label = string(button, "label") or string(part(button, "emoji"), "name")
    url = string(button, "url")
    if not label:
        return ""

    return f"[{label}]({url})" if url else f"[button {label}]"


def _field(
    field: Payload,
) -> str:
    """A menu, or a field of a form: its name, what it offers and what stands in it."""
    named = string(field, "label") or string(field, "placeholder")
    about = string(field, "description")
    offered = (string(option, "label") for option in parts(field, "options"))
    choices = " / ".join(option for option in offered if option)
    said = ": ".join(one for one in (named, about, string(field, "value")) if one)

    return described(f"choice {said}".rstrip(), choices) if choices else said
