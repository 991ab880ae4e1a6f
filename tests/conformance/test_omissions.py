"""The table of omissions is true."""

from __future__ import annotations

import re
from pathlib import Path

from agent.control.flags import DECLARED
from storage.control.channel_settings import ChannelForm
from tests.conformance.channels import DRIVERS
from tests.conformance.omissions import OMITTED, OMITTED_FLAGS, OMITTED_SETTINGS

SCENARIO = re.compile(r"^async def (test_\w+)\(\s*(?:harness|driver)\b", re.MULTILINE)


def scenarios() -> set[str]:
    """Every test that runs on each channel."""
    files = Path(__file__).parent.glob("test_*.py")
    return {
        name for file in files for name in SCENARIO.findall(file.read_text("utf-8"))
    }


def test_what_is_left_out_exists() -> None:
    """A renamed scenario must not be omitted by its old name."""
    assert set() == set(OMITTED) - scenarios()


def test_channels_are_left_out_for_a_reason() -> None:
    """By name, with a sentence, and never on all channels."""
    for name, channels in OMITTED.items():
        assert set() == set(channels) - set(DRIVERS), name
        assert all(reason.strip() for reason in channels.values()), name
        assert len(channels) < len(DRIVERS), name


def test_flags_and_settings_are_left_out_of_the_terminal_alone() -> None:
    """Each that is named exists, and is shown on all platforms."""
    for names, without in (
        (DECLARED, OMITTED_FLAGS),
        (ChannelForm.model_fields, OMITTED_SETTINGS),
    ):
        assert set() == set(without) - set(names)
        assert [["terminal"]] * len(without) == [
            [*channels] for channels in without.values()
        ]


def test_every_channel_plays_forty_scenarios() -> None:
    """Parameters of a scenario are not counted."""
    played = {
        name: sum(name not in OMITTED.get(test, {}) for test in scenarios())
        for name in DRIVERS
    }
    assert [] == [f"{name}: {count}" for name, count in played.items() if count < 40]
