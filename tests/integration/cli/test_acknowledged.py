"""A finding that stays can be acknowledged: then the doctor is silent while the rest is well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.core.channel import Finding
from agent.core.errors import ConfigurationError, Rejected
from agent.operations.acknowledged import FILE, acknowledged, forget, keep, name_of
from tests.support.commands import Ended, Machine

MISSPELLED = (
    "settings: .env has LOG_LEVLE, which is no setting. Did you mean LOG_LEVEL? "
    "Correct its name, or remove it."
)


async def test_what_is_acknowledged_is_shown_no_more_until_it_is_withdrawn(
    machine: Machine,
) -> None:
    (machine.folder / ".env").write_text("LOG_LEVLE=debug\n")
    (machine.folder / ".env").chmod(0o600)

    assert Ended(1, f"{MISSPELLED}\n", "") == await machine.agent("doctor")

    done = await machine.agent("doctor", "--acknowledge", "settings", "--as", "ada")
    assert (0, "") == (done.status, done.err)
    assert done.out.startswith("Acknowledged: settings: .env has LOG_LEVLE")

    assert Ended(0, "", "") == await machine.agent("doctor")
    whole = await machine.agent("doctor", "--all")
    assert 0 == whole.status
    assert f"{MISSPELLED} (acknowledged by ada on 20" in whole.out
    assert {"well": True, "findings": []} == json.loads(
        (await machine.agent("doctor", "--json")).out
    )

    listed = json.loads((await machine.agent("doctor", "--all", "--json")).out)
    assert ["settings"] == [one["part"] for one in listed["acknowledged"]]
    assert (True, []) == (listed["well"], listed["findings"])

    back = await machine.agent("doctor", "--withdraw", "settings")
    assert (0, "settings: 1 acknowledged before") == (back.status, back.out[:31])
    assert Ended(1, f"{MISSPELLED}\n", "") == await machine.agent("doctor")


async def test_only_what_is_found_can_be_acknowledged(machine: Machine) -> None:
    (machine.folder / ".env").write_text("LOG_LEVLE=debug\n")
    (machine.folder / ".env").chmod(0o600)
    refused = await machine.agent("doctor", "--acknowledge", "setings")

    assert 2 == refused.status
    assert "Nothing is found of 'setings'. Did you mean settings?" in refused.err


def test_another_number_is_the_same_finding_and_another_sentence_is_not(
    tmp_path: Path,
) -> None:
    keep(tmp_path, [Finding("backups", "The newest is 3 days old.", "x")], "ada")
    known = acknowledged(tmp_path)

    assert name_of(Finding("backups", "The newest is 14 days old.", "x")) in known
    assert name_of(Finding("backups", "There is none.", "x")) not in known
    assert name_of(Finding("redis", "The newest is 3 days old.", "x")) not in known


def test_what_was_never_acknowledged_cannot_be_withdrawn(tmp_path: Path) -> None:
    keep(tmp_path, [Finding("backups", "There is none.", "x")], "ada")
    with pytest.raises(Rejected, match="Did you mean backups"):
        forget(tmp_path, "backup")

    assert 1 == forget(tmp_path, "backups")
    assert {} == acknowledged(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"a": 1}', '{"a": {}}'])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigurationError, match="Mend or remove it"):
        acknowledged(tmp_path)
