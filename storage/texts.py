"""Which texts Postgres keeps, and which are shown back to whoever typed them."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Whether Postgres can hold it: no NUL, and no half of a surrogate pair, as a shell's stray byte becomes one."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def shown_name(name: str) -> str:
    """A name that nothing has, as a sentence repeats it: what can not be a name is not shown."""
    return name if len(name) <= 63 and name.isprintable() else "of this name"
