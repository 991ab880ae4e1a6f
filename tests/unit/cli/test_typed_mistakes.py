"""Whatever is mistyped, the sentence names what is near. Mistakes are made from what there is:
a command, option, setting or flag that is added is mistyped here, too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from agent.cli.main import command_line
from agent.cli.run import USAGE_ERROR, WRONG_USAGE, report_usage
from agent.control.flags import DECLARED
from agent.core.commands import COMMANDS, mistyped_command
from agent.core.errors import Rejected, UnknownModel
from agent.core.text import did_you_mean
from agent.core.words.model_lists import near_names, offer
from agent.llm.catalog import OFFLINE_PROVIDER, Catalog
from agent.settings import Settings, misspelled_variables
from agent.settings.providers import PRESETS
from storage.control.channel_settings import CHANNELS, ChannelForm, check_names
from storage.control.channels import CREDENTIALS, check_credential_name
from storage.control.flag_rules import unknown_flag

PROVIDERS = {*PRESETS, "openai", "anthropic", OFFLINE_PROVIDER}

MODELS = {
    f"{name}:{preset.model}" for name, preset in PRESETS.items() if preset.model
} | {"openai:gpt-5-mini", "anthropic:claude-haiku-4-5", "offline:echo"}

SEED = 20261128
LEAST = 300

ROOT = typer.main.get_command(command_line())


def swapped(name: str, at: int) -> str:
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def dropped(name: str, at: int) -> str:
    return name[:at] + name[at + 1 :]


def doubled(name: str, at: int) -> str:
    return name[:at] + name[at] + name[at:]


def mistyped(name: str, known: set[str], dice: random.Random) -> str:
    """One mistake in the name, behind its first letter, that makes no other name of it."""
    start = len(name) - len(name.lstrip("-")) + 1
    short = len(name) - start < 4
    ways: list[Callable[[str, int], str]] = (
        [doubled] if short else [swapped, dropped, doubled]
    )
    while True:
        wrong = dice.choice(ways)(
            name, dice.randrange(start, max(start + 1, len(name) - 1))
        )
        if wrong not in known:
            return wrong


def groups(
    command: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that lead to it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from groups(child, (*path, name))


def words() -> Iterator[tuple[list[str], str]]:
    """What is typed at the command line, and what the answer has to name."""
    dice = random.Random(SEED)
    for path, command in groups(ROOT):
        children = set(getattr(command, "commands", ()))
        for name in sorted(children):
            yield [*path, mistyped(name, children, dice)], name

        options = {
            name
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("--")
        }
        for name in sorted(options):
            yield [*path, mistyped(name, options, dice)], name


def names() -> Iterator[tuple[str, str, Callable[[str], str]]]:
    """What is typed elsewhere, what has to be named, and who answers."""
    dice = random.Random(SEED)
    kinds: list[tuple[set[str], Callable[[str], str]]] = [
        ({*DECLARED}, lambda name: unknown_flag(name, [*DECLARED]).sentence),
        ({*CHANNELS}, lambda name: did_you_mean(name, CHANNELS)),
        ({*ChannelForm.model_fields}, _setting_of_channel),
        ({one for known in CREDENTIALS.values() for one in known}, _credential),
        (
            {one.name for one in COMMANDS},
            lambda name: mistyped_command(f"/{name}") or "",
        ),
        (PROVIDERS, _refusal_of_model),
    ]
    for known, answer in kinds:
        for name in sorted(known):
            for _ in range(3):
                yield mistyped(name, known, dice), name, answer


def _refusal_of_model(provider: str) -> str:
    with pytest.raises(UnknownModel) as refusal:
        Catalog(Settings(_env_file=None), {}).model(f"{provider}:x")

    return refusal.value.sentence


def _setting_of_channel(name: str) -> str:
    with pytest.raises(Rejected) as refusal:
        check_names([name])

    return refusal.value.sentence


def _credential(name: str) -> str:
    """What each channel says."""
    said = []
    for channel in CREDENTIALS:
        with pytest.raises(Rejected) as refusal:
            check_credential_name(channel, name)
        said.append(refusal.value.sentence)

    return " ".join(said)


TYPED = list(words())
NAMED = list(names())


def test_a_mistyped_command_or_option_is_answered_with_the_near_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unanswered = []
    for typed, meant in TYPED:
        try:
            ROOT.main(typed, prog_name="agent", standalone_mode=False)
            pytest.fail(f"{typed} is no mistake")
        except USAGE_ERROR as error:
            assert WRONG_USAGE == report_usage(error)
        said = capsys.readouterr().err
        if meant not in said or "\n" in said.strip():
            unanswered.append((typed, meant, said))

    assert [] == unanswered


def test_a_mistyped_name_is_answered_with_the_near_one() -> None:
    unanswered = [
        (typed, meant, answer(typed))
        for typed, meant, answer in NAMED
        if f"Did you mean {meant}?"
        not in answer(typed).replace("`/", "").replace("`", "")
    ]

    assert [] == unanswered


def test_a_mistyped_variable_of_the_file_is_named_with_the_near_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dice = random.Random(SEED)
    known = {name.upper() for name in Settings.model_fields}
    wrong = {mistyped(name, known, dice): name for name in sorted(known)}
    (tmp_path / ".env").write_text("".join(f"{name}=1\n" for name in wrong))

    assert sorted(
        f".env has {name}, which is no setting. Did you mean {meant}?"
        for name, meant in wrong.items()
    ) == sorted(misspelled_variables())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TELEGRAM_TOKN", "TELEGRAM_TOKEN"),
        ("openai_api_kye", "OPENAI_API_KEY"),
        ("SLACK_BOTTOKEN", "SLACK_BOT_TOKEN"),
        ("DATABASE_ULR", "DATABASE_URL"),
        ("ENCRYPTION_KEY", "ENCRYPTION_KEYS"),
        ("MY_TELEGRAM_TOKN", None),
        ("OPENAI_ORGANIZATION", None),
        ("GROQ_API_KEY", None),
        ("XAI_API_KEY", None),
        ("MISTRAL_API_KEY", None),
        ("HTTP_ACCEPT", None),
        ("DATABASE_NAME", None),
        ("LOG_DIR", None),
        ("PATH", None),
    ],
)
def test_a_variable_of_the_environment_is_named_where_it_begins_as_ours(
    name: str, hint: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = misspelled_variables()
    monkeypatch.setenv(name, "x")
    expected = (
        [
            f"The environment has {name.upper()}, which is no setting. Did you mean {hint}?"
        ]
        if hint
        else []
    )

    assert expected == [one for one in misspelled_variables() if one not in before]


def test_what_is_set_under_its_right_name_too_is_no_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LOG_LEVEL=info\nLOG_LEVELS=x\n")

    assert [] == misspelled_variables()


@pytest.mark.parametrize("meant", sorted(MODELS))
def test_a_mistyped_model_is_answered_with_the_near_one(meant: str) -> None:
    """Wherever in its name the mistake is."""
    dice = random.Random(SEED)
    typed = [mistyped(meant, MODELS, dice) for _ in range(5)]

    assert [] == [
        wrong
        for wrong in typed
        if f"`{meant}`" not in offer(near_names(wrong, MODELS))
    ]


def test_what_is_no_provider_at_all_is_answered_with_those_there_are() -> None:
    said = _refusal_of_model("zzz")

    assert said.endswith("the providers are anthropic, offline, openai.")


def test_there_are_enough_mistakes() -> None:
    """Of commands and options, and of names elsewhere; variables and models come on top."""
    assert LEAST <= len(TYPED) + len(NAMED)
