"""An answer as people see it, made of pieces that are cut anywhere."""

from __future__ import annotations

import re

_MARKS = {  # what opens the thinking of a model, and what closes it
    "<think>": "</think>",  # DeepSeek R1, Qwen3
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # Gemini
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",  # ByteDance Seed
    "[think]": "[/think]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi
    "<mm:think>": "</mm:think>",  # MiniMax
    "<reflection>": "</reflection>",
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1, OpenThinker
    # gpt-oss, where nobody reads its channels
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
_MOST_BLANKS = 4096
"""Characters. White space before an answer is held back up to here, since thinking may follow."""

_HIGH_HALF = re.compile("[\ud800-\udbff]")
_HALF = re.compile("[\ud800-\udfff]")


class VisibleText:
    """Takes pieces, gives what may be shown: whole characters, without what the model
    thought before it answered.

    Thinking counts only where an answer starts with it, after white space. Later the same
    marks are text: a model may write about them. What is never closed is thinking to its
    end.
    """

    def __init__(self) -> None:
        self._half = ""  # of a surrogate pair
        self._held = ""  # not yet known to be seen
        self._closer = ""  # set while the model thinks
        self._thought = False
        self._speaking = False

    @property
    def thinks(self) -> bool:
        """Whether thinking began that has not ended."""
        return bool(self._closer)

    def feed(self, piece: str) -> str:
        """What this piece adds to the visible text."""
        whole = self._join_halves(piece)
        if self._speaking:
            return whole

        self._held += whole
        while self._skip_mark():
            pass
        return "" if self._closer else self._begin()

    def close(self) -> str:
        """What was held back and turned out to be seen."""
        half = "\ufffd" if self._half else ""
        if self._closer:
            return ""

        held = self._held.lstrip() if self._thought else self._held
        return held + half if held.strip() or half else ""

    def _join_halves(self, piece: str) -> str:
        """Characters beyond U+FFFF may come in two pieces; a half without its other half
        cannot be stored.
        """
        text, self._half = self._half + piece, ""
        if text.isascii():
            return text

        if _HIGH_HALF.fullmatch(text[-1]):
            text, self._half = text[:-1], text[-1]
        if _HALF.search(text):
            return text.encode("utf-16-le", "surrogatepass").decode(
                "utf-16-le", "replace"
            )
        return text

    def _skip_mark(self) -> bool:
        """Takes one mark, and the thinking before it, from what is held. False: there is none."""
        if self._closer:
            return self._skip_thinking()

        start = self._held.lstrip()
        if len(self._held) - len(start) > _MOST_BLANKS:
            return False

        for opener, closer in _MARKS.items():
            for mark in (opener, closer):
                if start[: len(mark)].lower() == mark:
                    self._held = start[len(mark) :]
                    self._closer = closer if mark == opener else ""
                    self._thought = True
                    return True
        return False

    def _skip_thinking(self) -> bool:
        end = re.search(re.escape(self._closer), self._held, re.IGNORECASE)
        if end is None:
            self._held = self._held[
                1 - len(self._closer) :
            ]  # the mark may be cut in two
            return False

        self._held, self._closer = self._held[end.end() :], ""
        return True

    def _begin(self) -> str:
        """The first text that is surely no mark, "" while it may become one."""
        start = self._held.lstrip()
        if len(self._held) - len(start) <= _MOST_BLANKS and _may_be_mark(start):
            return ""

        self._speaking = True
        shown, self._held = (start if self._thought else self._held), ""
        return shown


def _may_be_mark(start: str) -> bool:
    marks = (*_MARKS, *_MARKS.values())
    return any(mark.startswith(start.lower()) for mark in marks)
