"""The commands that people can type, the same on every channel.

`agent.conversation.commands` has what they answer.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from msgspec import Struct


class Command(Struct, frozen=True):
    """One command: `/name [argument]`."""

    name: str
    summary: str
    """One line, shown by /help and in the platforms' menus."""
    argument: str | None = None
    """What may follow, for people. None: nothing."""
    names_model: bool = False
    """Whether that may be a model: platforms can offer those that there are."""
    by_flag: bool = False
    """Whether it is offered only where a flag allows it."""


COMMANDS: tuple[Command, ...] = (
    Command("help", "see what I can do"),
    Command("new", "start a new conversation; the old one is kept", "name"),
    Command(
        "conversations", "show your conversations here, or go on with one", "number"
    ),
    Command("model", "show or choose the model", "name|default", names_model=True),
    Command(
        "system",
        "ask for something in every answer of this conversation",
        "text|off",
        by_flag=True,
    ),
    Command("history", "show the last messages", "number"),
    Command("search", "find what was said", "words"),
    Command("usage", "see tokens and cost so far"),
    Command("stop", "stop the answer that is being written"),
    Command("retry", "answer the last message again"),
    Command("link", "join your accounts on two channels", "code"),
    Command("export", "see what is kept of you"),
    Command("forget", "erase all that is kept of you", "me"),
    Command("consent", "say if your messages may be used for training", "on|off"),
)

START = Command("start", "hear what I can do here")
"""What Telegram's own button sends. Understood everywhere, and in no menu."""

_BY_NAME = {command.name: command for command in COMMANDS}

_MOST_WORDS = 2
"""After a mistyped command; what is longer is a sentence that begins oddly."""

_LONGEST_NAME = 32
"""As long as a platform lets a command be."""

_NEARNESS = 0.75
"""Of two names, as difflib measures it: one letter wrong in four is near."""


def parse_command(text: str) -> tuple[Command, str] | None:
    """The command and its argument, or None if the text is an ordinary message.

    `!name` is the same as `/name` (Slack has no slash commands in threads); `/name@bot` is
    Telegram's form in groups. An unknown name may be one: see `mistyped_command`.
    """
    if text[:1] not in ("/", "!"):
        return None

    head, _, argument = text.strip().partition(" ")
    name = head[1:].partition("@")[0].lower()
    command = START if name == START.name else _BY_NAME.get(name)

    return (command, argument.strip()) if command else None


def bare_command(text: str, *, direct: bool) -> tuple[Command, str] | None:
    """A command without its slash: `stop`, which somebody writes in a hurry.

    In a `direct` chat `help`, too, for someone who does not know yet how commands are written.
    """
    word = text.strip().lower()
    if word.rstrip(".!") == "stop":
        return (_BY_NAME["stop"], "")

    return (_BY_NAME["help"], "") if direct and word == "help" else None


def mistyped_command(text: str, *, direct: bool = False) -> str | None:
    """What to say to a command that does not exist. None: an ordinary message.

    Its name is nearly right; or, in a `direct` chat, a slash and one word are all there is.
    A path such as `/etc/hosts` is no word.
    """
    head, _, argument = text.strip().partition(" ")
    name = head[1:].partition("@")[0].lower()
    is_command_like = (
        head[:1] in ("/", "!") and name.isalpha() and name not in _BY_NAME
    )
    if not is_command_like or len(argument.split()) > _MOST_WORDS:
        return None

    if near := get_close_matches(name, _BY_NAME, n=1, cutoff=_NEARNESS):
        return f"There is no command `/{name}`. Did you mean `/{near[0]}`?"
    if direct and head[0] == "/" and not argument and len(name) <= _LONGEST_NAME:
        return f"There is no command `/{name}`. These exist: {_all_names()}."

    return None


def _all_names() -> str:
    return ", ".join(f"`/{name}`" for name in _BY_NAME)


def help_text(switched_off: Collection[str] = ()) -> str:
    """What `/help` answers, without commands that flags do not allow."""
    offered = [one for one in COMMANDS if one.name not in switched_off]
    lines = "\n".join(map(_help_line, offered))
    return f"Write to me and I answer. Commands:\n\n{lines}"


def greeting(switched_off: Collection[str] = (), *, has_menu: bool = True) -> str:
    """What `/start` answers: what one can do here, in plain words.

    Where the channel's menu offers no commands, it speaks of none.
    """
    hello = (
        "Hello! Write to me in your own words and I answer. "
        "I remember what we said in this conversation."
    )

    return (
        f"{hello} You can also:\n\n{plain_list(switched_off)}" if has_menu else hello
    )


def plain_list(switched_off: Collection[str] = ()) -> str:
    """The commands that are allowed, what they are for first."""
    return "\n".join(
        f"- {one.summary}: `/{one.name}`"
        for one in COMMANDS
        if one.name not in switched_off
    )


def _help_line(command: Command) -> str:
    argument = f" [{command.argument}]" if command.argument else ""
    return f"- `/{command.name}{argument}`: {command.summary}"
