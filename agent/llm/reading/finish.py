"""Why an answer ended, in the words of every server."""

from __future__ import annotations

import re
from typing import Literal

from agent.llm.reading.fields import record

End = Literal["", "whole", "cut", "full", "declined", "unknown"]
"""How it ended: not yet, with all that was to say, at its longest, with the context, by a
filter, or for a reason that nobody knows.
"""

_NO_REASON = frozenset({"", "null", "none"})

_ENDS: dict[str, End] = {
    **dict.fromkeys(
        (
            "stop",
            "end_turn",
            "stop_sequence",
            "tool_calls",
            "tool_use",
            "function_call",
            "eos",
            "eos_token",
            "complete",
            "completed",
            "done",
            "finished",
            "end",
            "stopped",
            "end_of_text",
            "eos_token_id",
            "stop_token",
            "stop_word",
            "eos_found",  # LM Studio
            "stop_string_found",
            "word",  # llama.cpp
            "success",
        ),
        "whole",
    ),
    **dict.fromkeys(
        (
            "length",
            "max_tokens",
            "model_length",
            "max_output_tokens",
            "max_completion_tokens",
            "max_new_tokens",
            "max_predicted_tokens_reached",  # LM Studio
            "max_tokens_reached",
            "length_limit",
            "max_length",
            "limit",  # llama.cpp
            "token_limit",
            "truncated",
        ),
        "cut",
    ),
    **dict.fromkeys(
        (
            "model_context_window_exceeded",
            "context_window_exceeded",
            "context_length_exceeded",
            "context_length_reached",  # LM Studio
            "error_limit",  # Cohere
        ),
        "full",
    ),
    **dict.fromkeys(
        (
            "content_filter",
            "content_filtered",
            "content_policy_violation",
            "refusal",
            "safety",
            "recitation",
            "sensitive",
            "blocklist",
            "prohibited_content",
            "spii",
            "image_safety",
            "image_recitation",
            "image_prohibited_content",
            "error_toxic",  # Cohere
            "moderation",
            "blocked",
            "guardrail_intervened",
        ),
        "declined",
    ),
}

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BLANKS = re.compile(r"[-\s]+")


def reason_of(value: object) -> str:
    """The reason, where it is a text, an object with a type, or a list of one."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = record(value).get("type") or record(value).get("reason")

    return plain(value) if isinstance(value, str) else ""


def plain(reason: str) -> str:
    """In small letters with `_` between words, without what it is about: `content_filter:
    SAFETY`, `content-filter` and `contentFilter` are one. "" for none.
    """
    head = reason.partition(":")[0].strip()
    words = _BLANKS.sub("_", _HUMP.sub("_", head)).lower()
    named = words.removeprefix("finish_reason_")

    return "" if named in _NO_REASON else named


def end_of(reason: str) -> End:
    """What a plain reason means."""
    return _ENDS.get(reason, "unknown") if reason else ""
