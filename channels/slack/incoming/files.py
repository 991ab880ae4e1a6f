"""Files of Slack in words, one in a line: `[image photo.jpg, 120 kB]`."""

from __future__ import annotations

from collections.abc import Sequence

from channels.fields import Json, first_text, integer, mapping, quotation, text

_MEDIA = ("image", "audio", "video")
_DOCUMENTS = {"quip": "canvas", "canvas": "canvas", "list": "list"}
"""What Slack makes itself, by mode or type. Its name is that of no file: the title counts."""


def attachments(
    files: Sequence[Json],
) -> str:
    """Files by name, one in a line."""
    return "\n".join(_attachment(file) for file in files)


def _attachment(
    file: Json,
) -> str:
    if text(file, "mode") == "tombstone":
        return "[deleted file]"

    facts = (_titled(file), _size(integer(file, "size") or 0), _elsewhere(file))
    named = f"[{', '.join(fact for fact in facts if fact)}]"
    inside = _inside(file)

    return quotation(named, inside) if inside else named


def _titled(
    file: Json,
) -> str:
    """Its kind and its name, with the title if that says more."""
    name, title = text(file, "name"), text(file, "title")
    if kind := _document(file):
        return f"{kind} {title or name or 'without a name'}"

    media = text(file, "mimetype").partition("/")[0]
    shown = name or title or text(file, "id") or "without a name"
    more = f" ({title})" if name and title and not name.startswith(title) else ""

    return f"{media if media in _MEDIA else 'file'} {shown}{more}"


def _document(
    file: Json,
) -> str:
    kinds = (
        _DOCUMENTS.get(text(file, "mode")),
        _DOCUMENTS.get(text(file, "filetype")),
    )
    return next((kind for kind in kinds if kind), "")


def _elsewhere(
    file: Json,
) -> str:
    """Where a file lives that Slack only links to, as a document of Google."""
    return text(file, "external_url") if file.get("is_external") is True else ""


def _inside(
    file: Json,
) -> str:
    """The begin of a text or an e-mail, what is said in a recording, or what a picture shows."""
    said = mapping(mapping(file, "transcription"), "preview")

    return text(said, "content") or first_text(
        file, "preview_plain_text", "plain_text", "preview", "alt_txt"
    )


def _size(
    count: int,
) -> str:
    for unit, factor in (
        ("GB", 10**9),
        ("MB", 10**6),
        ("kB", 10**3),
    ):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"

    return f"{count} bytes" if count > 0 else ""
