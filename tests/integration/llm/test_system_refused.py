"""Models whose template has no place for a system prompt are told it all the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.model_streams import GPT, WHOLE, answered, streamed
from tests.support.providers import ask, served

WORDS: list[tuple[int, dict[str, Any]]] = [
    (400, {"object": "error", "message": "System role not supported", "code": 400}),
    (500, {"error": {"message": "Jinja Exception: System role not supported"}}),
    (
        400,
        {
            "error": {
                "message": "Unsupported value: 'messages[0].role' does not support "
                "'system' with this model."
            }
        },
    ),
    (400, {"error": {"message": "Developer instruction is not enabled for gemma-3"}}),
]


@pytest.mark.parametrize(("status", "body"), WORDS)
async def test_the_instructions_are_said_with_the_first_words(
    status: int, body: dict[str, Any]
) -> None:
    """From the second answer on without asking in vain."""
    async with served() as (server, models):
        server.script(answered(body, status), streamed(*WHOLE), streamed(*WHOLE))
        answers = [(await ask(models, GPT))[::2] for _ in range(2)]
        assert answers == [("Hello", None)] * 2
        asked = [request.body["messages"] for request in server.requests]
        assert [[one["role"] for one in messages] for messages in asked] == [
            ["system", "user", "assistant", "user"],
            ["user", "assistant", "user"],
            ["user", "assistant", "user"],
        ]
        assert "Be kind.\n\nmy name is Ada" == asked[1][0]["content"]


async def test_a_model_that_refuses_it_in_every_way_is_asked_twice() -> None:
    async with served() as (server, models):
        server.script(*[answered(WORDS[0][1], 400)] * 5)
        text, _, failure = await ask(models, GPT)
        assert (text, len(server.requests)) == ("", 2)
        assert "refused the request (400)" in (failure or "")
