"""Marks that a server should have kept to itself: they end an answer and are no part of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

_STOPS = (
    "<|im_end|>",  # ChatML
    "<|endoftext|>",
    "<|end_of_text|>",  # Llama 3, Granite
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",  # Llama 4
    "<|end_of_turn|>",  # OpenChat
    "<|end_of_turn_token|>",  # Cohere
    "<|user|>",  # GLM
    "<|observation|>",
    "<|role_end|>",  # Ling
    "<|end|>",  # Phi, gpt-oss
    "<|return|>",
    "<|endofassistant|>",
    "<end_of_turn>",  # Gemma
    "<turn|>",
    "<eos>",
    "<｜end▁of▁sentence｜>",
    "</s>",  # Llama 2, Mistral
)

_QUOTING = frozenset(" \t`\"'([{=:|“‘«")
"""Before a mark, each of these says that the text is about it."""

_STRUCK = "<s>"
"""Where it was opened, `</s>` ends struck text."""

_MOST_HELD = 4096
"""Characters. So many marks in a row are no text, whatever follows."""


class StopMarks:
    """Takes the text of an answer, gives it without the marks at its end.

    They count only there: amid a text, behind a blank, in quotes or in code, they are text.
    An answer that has nothing else is left as it is.
    """

    def __init__(self) -> None:
        self._held = ""  # may be marks, if nothing follows
        self._before = ""  # the last character that was shown
        self._struck = (
            ""  # the last characters, then all of `_STRUCK` once it was there
        )
        self._closer = ""
        self._tail = _tail(_STOPS)

    def close_with(self, closer: str) -> None:
        """The answer stands in a wrapper, which ends with this."""
        self._closer = closer
        self._tail = _tail((*_STOPS, closer))

    def feed(self, piece: str) -> str:
        """What is surely part of the answer."""
        text = self._held + piece
        begin = self._begin_of_end(text)
        shown, self._held = text[:begin], text[begin:]
        self._remember(shown)
        if len(self._held) > _MOST_HELD:
            self._held = self.close()

        return shown

    def close(self) -> str:
        """What was held back and is no mark."""
        marks = self._tail.fullmatch(self._held)

        return self._held[marks.end("marks") :] if marks else self._held

    def _begin_of_end(self, text: str) -> int:
        """Where marks begin that nothing follows yet; the text's length: nowhere."""
        for found in re.finditer("<", text):
            begin = found.start()
            if self._tail.fullmatch(text, begin) and self._is_an_end(text, begin):
                return begin

        return len(text)

    def _is_an_end(self, text: str, begin: int) -> bool:
        rest = text[begin:].lower()
        if self._closer and rest.startswith(self._closer[: len(rest)]):
            return True
        if rest.startswith("</s>") and self._strikes(text[:begin]):
            return False

        before = text[begin - 1] if begin else self._before

        return bool(before) and before not in _QUOTING

    def _strikes(self, text: str) -> bool:
        return _STRUCK in self._struck + text.lower()

    def _remember(self, shown: str) -> None:
        if not shown:
            return

        self._before = shown[-1]
        recent = self._struck + shown.lower()
        self._struck = _STRUCK if _STRUCK in recent else recent[-2:]


def _tail(marks: Iterable[str]) -> re.Pattern[str]:
    """Some of the marks, and perhaps the beginning of another."""
    named = list(marks)
    begun = {mark[:length] for mark in named for length in range(1, len(mark))}
    whole = "|".join(map(re.escape, named))
    part = "|".join(map(re.escape, sorted(begun, key=len, reverse=True)))

    return re.compile(rf"(?P<marks>(?:(?:{whole})\s*)*)(?:{part})?", re.IGNORECASE)
