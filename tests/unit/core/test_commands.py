"""What is a command, and what is an ordinary message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.commands import (
    COMMANDS,
    Command,
    bare_command,
    help_text,
    mistyped_command,
    parse_command,
)


def parsed(text: str) -> tuple[str, str] | None:
    found = parse_command(text)
    return (found[0].name, found[1]) if found else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/help", ("help", "")),
        ("!help", ("help", "")),
        ("/HELP", ("help", "")),
        ("/help@simple_agent_bot", ("help", "")),
        ("/model@bot openai:gpt-5-mini", ("model", "openai:gpt-5-mini")),
        ("/model   openai:gpt-5-mini  ", ("model", "openai:gpt-5-mini")),
        ("/history 5\n", ("history", "5")),
        ("/stop \n", ("stop", "")),
    ],
)
def test_a_known_name_behind_a_slash_or_a_bang_is_a_command(
    text: str, expected: tuple[str, str]
) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "!",
        "help",
        " /help",
        "/usr/bin/env",
        "/newer",
        "!important",
        "/ help",
        "//help",
        "/@bot",
        "what is /help?",
    ],
)
def test_everything_else_is_an_ordinary_message(text: str) -> None:
    assert parsed(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/modle", "model"),
        ("/modle openai:gpt-5-mini", "model"),
        ("/mode", "model"),
        ("/models", "model"),
        ("!hlep", "help"),
        ("/HISTROY 5", "history"),
        ("/histoy@bot", "history"),
        ("/usgae", "usage"),
        ("/stpo", "stop"),
        ("/rety", "retry"),
        ("/lnik ABCDEFGH", "link"),
        ("/neww", "new"),
    ],
)
def test_a_command_that_is_nearly_right_names_the_one_that_is_meant(
    text: str, meant: str
) -> None:
    sentence = mistyped_command(text)
    assert sentence is not None
    assert f"Did you mean `/{meant}`?" in sentence


@pytest.mark.parametrize(
    "text",
    [
        "/model",
        "/usr/bin/env",
        "/etc",
        "!important",
        "modle",
        "/modle is what I typed, why did nothing happen?",
        "/",
        "! new",
        "/42",
        "",
    ],
)
def test_what_resembles_no_command_goes_to_the_model(text: str) -> None:
    assert mistyped_command(text) is None


@pytest.mark.parametrize(
    "text", ["/settings", " /Settings ", "/settings@bot", "/etc"]
)
def test_one_word_behind_a_slash_is_a_mistake_between_two(text: str) -> None:
    """It names all commands. In a group it may be meant for another bot."""
    sentence = mistyped_command(text, direct=True)
    assert sentence is not None
    assert sentence.startswith(f"There is no command `{text.strip().lower()[:4]}")
    assert [] == [name for name in COMMANDS if f"`/{name.name}`" not in sentence]
    assert mistyped_command(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "/etc/hosts",
        "/etc/hosts is empty, why?",
        "/settings what does this path hold?",
        "!important",
        "/s/old/new/",
        "/r/python",
        "/2024",
        "//",
        "/",
        "/a-b",
        "/* a comment */",
        "/" + "x" * 33,
        "what is /settings",
    ],
)
def test_text_that_begins_with_a_slash_is_text(text: str) -> None:
    assert mistyped_command(text, direct=True) is None


def test_help_alone_is_understood_without_a_slash() -> None:
    assert bare_command(" Help ", direct=True) == parse_command("/help")
    assert bare_command("help me", direct=True) is None
    assert bare_command("help", direct=False) is None


@pytest.mark.parametrize("direct", [True, False])
def test_stop_alone_stops_without_a_slash(direct: bool) -> None:
    """Nobody looks for the slash while the wrong answer grows."""
    for text in ("stop", " Stop! ", "STOP."):
        assert bare_command(text, direct=direct) == parse_command("/stop")

    assert bare_command("stop it there", direct=direct) is None


@given(st.text())
def test_no_text_breaks_the_search_for_a_command(text: str) -> None:
    mistyped_command(text)
    mistyped_command(f"/{text}")
    bare_command(text, direct=True)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    found = parsed(text)
    assert found is None or found[0] in {command.name for command in COMMANDS}


@given(
    st.sampled_from(COMMANDS),
    st.sampled_from("/!"),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_an_argument_arrives_without_its_margins(
    command: Command, sign: str, argument: str
) -> None:
    assert parsed(f"{sign}{command.name} {argument}") == (
        command.name,
        argument.strip(),
    )


def test_names_are_unique_and_as_every_platform_takes_them() -> None:
    """Discord: lower case, at most 32 characters; Telegram: letters, digits, underscores."""
    names = [command.name for command in COMMANDS]
    assert len(set(names)) == len(names)
    assert [
        name
        for name in names
        if not (
            name.isascii() and name.isalnum() and name.islower() and len(name) <= 32
        )
    ] == []


def test_summaries_fit_into_the_platforms_menus() -> None:
    """Discord takes 100 characters, Telegram 256."""
    assert [
        command.name for command in COMMANDS if not 1 <= len(command.summary) <= 100
    ] == []


def test_help_names_every_command() -> None:
    assert [
        command.name for command in COMMANDS if f"/{command.name}" not in help_text()
    ] == []
