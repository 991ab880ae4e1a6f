"""Raw responses of model servers, to be put together in tests, in the form of both APIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.support.model_server import Answer

GPT, CLAUDE = "openai:gpt", "anthropic:claude"
DONE = b"data: [DONE]\n\n"


def event(data: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def chunk(content: Any = None, finish: Any = None, **more: Any) -> bytes:
    """One of Chat Completions."""
    return event(
        {
            "choices": [
                {"index": 0, "delta": {"content": content}, "finish_reason": finish}
            ],
            **more,
        }
    )


def said(text: Any) -> bytes:
    """One text event of Anthropic's."""
    return event(
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": text},
        }
    )


def closed(reason: Any = "end_turn", **more: Any) -> bytes:
    """Anthropic's last two events."""
    end = event({"type": "message_delta", "delta": {"stop_reason": reason}, **more})
    return end + event({"type": "message_stop"}, "message_stop")


def streamed(*events: bytes, content_type: str = "text/event-stream") -> Answer:
    return Answer(body=b"".join(events), headers={"content-type": content_type})


def answered(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """A plain response of JSON."""
    return Answer(
        status=status, body=json.dumps(body).encode(), headers=headers or {}
    )


STOP = chunk(None, "stop") + DONE
WHOLE = (chunk("Hel"), chunk("lo"), STOP)


def texts(model: str, *pieces: Any) -> bytes:
    """Events with these texts, as the model's API has them."""
    return b"".join(map(chunk if model == GPT else said, pieces))


def ending(model: str, reason: Any = None) -> bytes:
    """The events that end an answer, for this reason; None: because all is said."""
    if model == GPT:
        return chunk(None, reason or "stop") + DONE
    return closed(reason or "end_turn")
