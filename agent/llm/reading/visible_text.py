"""An answer as people see it, made of pieces that are cut anywhere."""

from __future__ import annotations

import re

from agent.llm.reading.stop_marks import StopMarks

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
    "<|channel|>commentary<|message|>": "<|channel|>final<|message|>",
    "<longcat_think>": "</longcat_think>",
    "<|channel>": "<channel|>",  # Gemma 4
    "<unused94>": "<unused95>",  # MedGemma
    "<|start_thinking|>": "<|end_thinking|>",  # Cohere
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
}
_HEADS = (
    "<|start|>assistant",  # gpt-oss
    "<|im_start|>assistant\n",  # ChatML
    "<|start_header_id|>assistant<|end_header_id|>",  # Llama 3
)
"""What a chat template writes before an answer, where a server hands it on."""

_INVISIBLE = "\ufeff\u200b"
"""Byte order mark and zero-width space: before a mark they are nothing."""

_PLAIN_MARKS = {"here is my thought process:": "here is my response:"}  # Granite 3.2
"""Words that an answer may have, too: without their second part they are one."""

_WRAPPERS = {  # around the answer itself, behind the thinking
    "<answer>": "</answer>",
    "<final_answer>": "</final_answer>",
    "<response>": "</response>",  # Granite 3.3
    "<output>": "</output>",  # Marco, Reflection
    "<|start_response|>": "<|end_response|>",  # Cohere
    "<|begin_of_solution|>": "<|end_of_solution|>",  # Sky-T1, OpenThinker
}
_NAMES = "think|thinking|thought|reasoning|reflection"
_WITH_ATTRIBUTES = re.compile(
    rf"<({_NAMES})(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s<>\"']+))+\s*>",
    re.IGNORECASE,
)
_PERHAPS_ATTRIBUTES = re.compile(rf"<(?:{_NAMES})\s[^<>]{{0,200}}", re.IGNORECASE)

_MOST_PLAIN = 100_000
"""Characters. What goes on for longer than this is no thinking in plain words."""

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
        self._plain = False  # it thinks in plain words, or they are its answer
        self._stops = StopMarks()
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
            return self._stops.feed(whole)

        self._held += whole
        while self._skip_mark():
            pass
        return "" if self._closer else self._begin()

    def close(self) -> str:
        """What was held back and turned out to be seen."""
        half = "\ufffd" if self._half else ""
        if self._plain:
            self._closer = ""
        if self._closer:
            return ""

        held = self._held.lstrip() if self._thought else self._held
        ending = self._stops.feed(held) + self._stops.close()
        return ending + half if ending.strip() or half or self._speaking else ""

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

        start = _from_first_letter(self._held)
        if len(self._held) - len(start) > _MOST_BLANKS:
            return False

        if opened := _opened(start):
            length, self._closer = opened
        elif _begins(start, _PLAIN_MARKS):
            # all of it is held: it may turn out to be the answer
            self._closer, self._plain = _begins(start, _PLAIN_MARKS), True
            return True
        elif closer := self._wrapped(start):
            length = next(len(one) for one, end in _WRAPPERS.items() if end == closer)
            self._stops.close_with(closer)
        else:
            return False

        self._held, self._thought = start[length:], True
        return True

    def _wrapped(self, start: str) -> str:
        """What ends the wrapper that begins here. Without thinking, a tag is text."""
        closer = _begins(start, _WRAPPERS)

        return closer if self._thought or closer.startswith("<|") else ""

    def _skip_thinking(self) -> bool:
        end = re.search(re.escape(self._closer), self._held, re.IGNORECASE)
        if end is None and self._plain:
            return self._give_up_plain()
        if end is None:
            self._held = self._held[
                1 - len(self._closer) :
            ]  # the mark may be cut in two
            return False

        self._held, self._closer = self._held[end.end() :], ""
        self._thought, self._plain = True, False
        return True

    def _give_up_plain(self) -> bool:
        """Always False: nothing is skipped."""
        if len(self._held) > _MOST_PLAIN:
            self._closer, self._speaking = "", True

        return False

    def _begin(self) -> str:
        """The first text that is surely no mark, "" while it may become one."""
        start = _from_first_letter(self._held)
        if len(self._held) - len(start) <= _MOST_BLANKS and _may_be_mark(start):
            return ""

        self._speaking = True
        shown, self._held = (start if self._thought else self._held), ""
        return self._stops.feed(shown)


def _from_first_letter(text: str) -> str:
    start = text.lstrip()
    while start[:1] and start[0] in _INVISIBLE:
        start = start[1:].lstrip()

    return start


def _opened(start: str) -> tuple[int, str] | None:
    """The length of the mark with which this begins, and what closes the thinking; "": it did."""
    for opener, closer in _MARKS.items():
        for mark in (opener, closer):
            if start[: len(mark)].lower() == mark:
                return len(mark), closer if mark == opener else ""
    for head in _HEADS:
        if start[: len(head)].lower() == head:
            return len(head), ""
    if tag := _WITH_ATTRIBUTES.match(start):
        return tag.end(), f"</{tag.group(1).lower()}>"

    return None


def _begins(start: str, marks: dict[str, str]) -> str:
    """What closes the mark with which this begins, "" where there is none."""
    return next(
        (end for mark, end in marks.items() if start[: len(mark)].lower() == mark), ""
    )


def _may_be_mark(start: str) -> bool:
    marks = (*_MARKS, *_MARKS.values(), *_HEADS, *_PLAIN_MARKS, *_WRAPPERS)
    begins = start.lower()

    return any(mark.startswith(begins) for mark in marks) or bool(
        _PERHAPS_ATTRIBUTES.fullmatch(start)
    )
