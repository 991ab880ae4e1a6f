"""What people write on Slack as plain text, and a model's Markdown as Slack shows it.

Nothing that a model writes can ping anybody, and code is what it wrote. Slack reads its own
tokens (`<!here>`, `<@U1>`, `<https://…|words>`) in Markdown, too, but decodes `&lt;` for
display without reading the result as a token again. So outside of code no `<` is left. Code
is no place for tokens, and shows entities as they are written. A bare `@here` is a token
only for calls that set `link_names` or `parse`.
"""

from __future__ import annotations

import re
from collections.abc import (
    Iterable,
    Iterator,
    Mapping,
)

from agent.core.text import says_nothing
from channels.markdown.edits import (
    Edit,
    rewritten,
)
from channels.markdown.growth import begun, doubt
from channels.markdown.links import (
    with_honest_links,
)
from channels.markdown.outline import fence_of
from channels.markdown.parser import (
    BLOCKS,
    Event,
    Tag,
    parse,
    sound,
)
from channels.splitting import (
    split,
    utf16_length,
)

NOTIFICATION = 3_000
"""Characters of the text that notifications and screen readers get next to the blocks."""

_HALF_ESCAPE = re.compile(r"&\w{0,3}\Z")
_TOKEN = re.compile(r"<([^<>]*)>")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)")
_EMPTY = "(an empty answer)"
_ANGLE = re.compile(r"(?<!\\)(\\*)<")
_MARKS = re.compile(r"[][\\`*_~]")
_ESCAPED = r"\\\g<0>"
_IS_CODE, _MAY_BE_CODE = 1, 2
_UNSURE = bytes([_IS_CODE]), bytes([_MAY_BE_CODE])
_PINGING = re.compile(r"<(?=[!@#])")
_DEFINITION = re.compile(
    r"^((?:[ \t>*+-]|\d+[.)])*)(?=\[(?:[^]\\\n]|\\.){1,999}\]:)",
    re.MULTILINE,
)
_CHANGEABLE = re.compile(r"(?<!\\)\\*<|!?\[")
_UNFINISHED = re.compile(
    r"(?:(?<!\\)\\+(?:<[^<>\s]*)?|<[^<>\s]*|!?\[[^\[\]\n]*(?:\](?:\([^()\s]*)?)?)\Z"
)


def mentioned(text: str) -> list[str]:
    """The ids of the people a Slack text mentions, in order."""
    return _MENTION.findall(text)


def without_mention(text: str, user: str) -> str:
    """The text as it would be without the mention of this user."""
    return re.sub(
        rf"[ \t]*<@{re.escape(user)}(?:\|[^<>]*)?>[,:]?",
        "",
        text,
    ).strip()


def readable(text: str, names: Mapping[str, str | None]) -> str:
    """Slack's escaped text as people see it: links, channels and mentions by name.

    The escapes are those of https://docs.slack.dev/messaging/formatting-message-text.
    """
    shown = _TOKEN.sub(
        lambda token: _shown(token[1], names),
        text,
    )
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _shown(
    token: str,
    names: Mapping[str, str | None],
) -> str:
    body, _, label = token.partition("|")
    if body.startswith("@"):
        return "@" + (names.get(body[1:]) or label or body[1:])
    if body.startswith("#"):
        return "#" + (label or body[1:])
    if body.startswith("!"):
        word = label or body[1:]
        return word if body.startswith("!date") else "@" + word.removeprefix("@")
    address = body.removeprefix("mailto:")
    return address if not label or address.endswith(label) else f"{label} ({address})"


def escaped(text: str) -> str:
    """Plain text as Slack's `text` fields want it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(markdown: str) -> str:
    """What people read of a model's Markdown, made harmless, where Slack shows no Markdown."""
    return markdown.replace("&lt;", "<")


def notification(markdown: str) -> str:
    """The plain text beside blocks of harmless Markdown, as Slack wants it."""
    return _HALF_ESCAPE.sub(
        "",
        escaped(plain(markdown))[:NOTIFICATION],
    )


def pieces_of(
    text: str,
    limit: int,
    *,
    growing: bool = False,
) -> list[str]:
    """The messages of an answer; at least one.

    Of one that is `growing`, only what is `finished`; all but the last stay as they are.
    """
    text = begun(finished(text)) if growing else sound(text)
    pieces = split(
        harmless(text),
        limit,
        measure=utf16_length,
        doubt=doubt(text, harmless) if growing else 0,
        closed=not growing,
    )
    safe = [part for piece in pieces for part in _checked(piece, limit)]
    if not says_nothing("".join(safe)):
        return safe

    return [] if growing else [_EMPTY]


def _checked(piece: str, limit: int) -> list[str]:
    """The piece, looked at by itself.

    What was code in the whole need not be code in a piece, if it was too long to be closed
    and opened again.
    """
    return split(harmless(piece), limit, measure=utf16_length, closed=False)


def harmless(text: str) -> str:
    """The same Markdown without anything that addresses people or channels, or a link that
    misleads.
    """
    text = with_honest_links(sound(text))
    events = parse(text)
    code = _code(text, events)
    addresses = {edit.start: edit for edit in _addresses(text, events)}
    angles = (edit for edit in _escapes(text, code) if edit.end - 1 not in addresses)

    return rewritten(
        text,
        [
            *addresses.values(),
            *angles,
            *_definitions(text, code),
        ],
    )


def finished(text: str) -> str:
    """A growing text without an end that more of it could make something else."""
    text = _UNFINISHED.sub("", sound(text))
    events = parse(text)
    last = max(
        (event.start for event in events if event.tag in BLOCKS),
        default=0,
    )
    doubt = next(
        (
            event.start
            for event in events
            if event.start >= last and _may_be_code(event, text)
        ),
        len(text),
    )
    changeable = _CHANGEABLE.search(text, doubt)

    return text[: changeable.start()] if changeable else text


def _may_be_code(event: Event, text: str) -> bool:
    """Whether a backtick that follows would begin or end code here."""
    if event.tag is Tag.CODE:
        return event.end == len(text)

    return event.tag is Tag.TEXT and "`" in event.value


def _code(text: str, events: Iterable[Event]) -> bytearray:
    """For each character, whether it is code, or only may be: other readers know no code
    over several lines.
    """
    kinds = bytearray(len(text) + 1)

    for event in events:
        if event.tag is Tag.FENCE and event.kind == "end":
            fence = fence_of(text, event)
            _mark(kinds, fence.inner_start, fence.inner_end, _IS_CODE)
        elif event.tag is Tag.CODE:
            sure = "\n" not in text[event.start : event.end]
            _mark(kinds, event.start, event.end, _IS_CODE if sure else _MAY_BE_CODE)
        elif event.tag is Tag.INDENTED and event.kind == "end":
            _mark(kinds, event.start, event.end, _MAY_BE_CODE)
        elif event.tag is Tag.IMAGE and event.kind == "end":  # its words show no code
            inside = kinds[event.start : event.end]
            kinds[event.start : event.end] = inside.replace(*_UNSURE)

    return kinds


def _mark(kinds: bytearray, start: int, end: int, kind: int) -> None:
    kinds[start:end] = bytes([kind]) * (end - start)


def _escapes(text: str, code: bytearray) -> Iterator[Edit]:
    for angle in _ANGLE.finditer(text):
        at = angle.end() - 1
        if code[at] == _MAY_BE_CODE and _PINGING.match(text, at):
            yield Edit(at, at + 1, "&lt;")
        elif not code[at]:
            escaped = len(angle[1]) % 2  # by the last backslash
            yield Edit(at - escaped, at + 1, "&lt;")


def _addresses(text: str, events: Iterable[Event]) -> Iterator[Edit]:
    """Addresses in angle brackets without these."""
    for event in events:
        if event.tag is Tag.LINK and event.kind == "end" and text[event.start] == "<":
            address = text[event.start + 1 : event.end - 1]
            beside = (
                text[event.start - 1 : event.start] + text[event.end : event.end + 1]
            )
            bare = not _MARKS.search(address) and not re.search(r"\w|/", beside)
            yield Edit(
                event.start,
                event.end,
                address if bare else _link(address),
            )


def _link(address: str) -> str:
    target = address.replace("(", "%28").replace(")", "%29")

    return f"[{_MARKS.sub(_ESCAPED, address)}]({target})"


def _definitions(text: str, code: bytearray) -> Iterator[Edit]:
    """Makes text of definitions of links: the words and the address would be too far apart
    to see whether they fit.
    """
    for found in _DEFINITION.finditer(text):
        if not code[found.end()]:
            yield Edit(found.end(), found.end(), "\\")
