"""The terminal's prompt, typed at through a pipe."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from channels.terminal.prompt import CommandCompleter, PromptReader


@pytest.fixture
async def keys() -> AsyncIterator[PipeInput]:
    with create_pipe_input() as keys:
        yield keys


async def typed(keys: PipeInput, text: str) -> str | None:
    reader = PromptReader(InMemoryHistory(), keys, DummyOutput())
    keys.send_text(text)

    return await reader.line()


@pytest.mark.parametrize("text", ["hello", "exit now", "how do I quit?", "/new"])
async def test_a_line_is_what_was_typed(keys: PipeInput, text: str) -> None:
    assert text == await typed(keys, f"{text}\r")


@pytest.mark.parametrize("word", ["exit", "quit", "/exit", "/QUIT", ":q", " exit "])
async def test_a_word_that_leaves_other_programs_leaves(
    keys: PipeInput, word: str
) -> None:
    assert await typed(keys, f"{word}\r") is None


async def test_control_d_leaves(keys: PipeInput) -> None:
    assert await typed(keys, "\x04") is None


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("/h", ["/help", "/history"]),
        ("/MO", ["/model"]),
        ("/model ", ["default", "openai:x"]),
        ("/MODEL o", ["openai:x"]),
        ("/model x", []),
        ("/link ", []),
        ("what /h", []),
        ("", []),
    ],
)
def test_commands_complete(text: str, offered: list[str]) -> None:
    completer = CommandCompleter({"model": ["default", "openai:x"]})
    found = completer.get_completions(Document(text), CompleteEvent())
    assert offered == [completion.text for completion in found]
