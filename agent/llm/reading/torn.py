"""The objects of an answer's events, also where a proxy tore one apart."""

from __future__ import annotations

from agent.llm.reading.fields import Fields, count, objects_in, word

_MOST_TORN = 65_536
"""Characters of an object that came in pieces. One piece of an answer is far shorter."""

_OF_ERRORS = (
    "code",
    "detail",
    "error_msg",
    "errorMessage",
    "message",
    "msg",
    "status_code",
)
_OF_ANSWERS = ("choices", "delta", "content_block", "usage", "content", "output")


class TornObjects:
    """Takes the data of each event in turn."""

    def __init__(self) -> None:
        self._torn = ""
        self._pieces = 0
        self._garbled = 0

    @property
    def unreadable(self) -> int:
        """Events of which nothing was understood."""
        return self._garbled + self._pieces

    def of(self, data: str) -> list[Fields]:
        """The objects that this event completes."""
        found = objects_in(data)
        if found is None and self._torn:
            found = objects_in(self._torn + data)
            self._pieces = 0 if found is not None else self._pieces
        if found is None:
            self._keep(data)
            return []

        self._drop()
        return found

    def _keep(self, data: str) -> None:
        """It may be a part of an object; what follows will tell."""
        if not self._torn and not data.startswith(("{", "[")):
            self._garbled += 1
            return

        self._torn += data
        self._pieces += 1
        if len(self._torn) > _MOST_TORN:
            self._drop()

    def _drop(self) -> None:
        self._garbled += self._pieces
        self._torn, self._pieces = "", 0


def is_error(found: Fields) -> bool:
    """Whether it looks like an error that is not called one: a code or words, and no answer."""
    if any(name in found for name in _OF_ANSWERS):
        return False

    values = [found.get(name) for name in _OF_ERRORS]
    return any(word(value) or count(value) for value in values)
