"""`.env` after a setting was written: that one changed, everything else as it was."""

from __future__ import annotations

import os
import stat
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import ConfigurationError
from agent.operations.env_file import changed, exposure, write_env

NEW = "123:new-Token_"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"T={NEW}\n"),
        ("A=1", f"A=1\nT={NEW}\n"),
        ("A=1\r\n", f"A=1\r\nT={NEW}\r\n"),
        ("# mine\nT=old\nA=1\n", f"# mine\nT={NEW}\nA=1\n"),
        ("\n\nT=old", f"\n\nT={NEW}"),
        ("T=old  # of the bot\nA=1\n", f"T={NEW}  # of the bot\nA=1\n"),
        ("T='old # no comment' # don't lose\n", f"T={NEW} # don't lose\n"),
        ('export T = "o\\"l\nd"\nA=1\n', f"export T = {NEW}\nA=1\n"),
        ("T=\nA=1\n", f"T={NEW}\nA=1\n"),
        ("T\nA=1\n", f"T={NEW}\nA=1\n"),
        ("T=one\nT=two\n", f"T={NEW}\nT={NEW}\n"),
        ("# T=old\n", f"# T=old\nT={NEW}\n"),
        ("TT=old\n", f"TT=old\nT={NEW}\n"),
        (f"T='{NEW}'\n", f"T='{NEW}'\n"),
    ],
)
def test_only_the_value_changes(before: str, after: str) -> None:
    """Lines, comments, order and line ends stay; what is new stands at the end."""
    assert changed(before, {"T": NEW}) == after


@given(
    st.lists(
        st.one_of(
            st.from_regex(r"[A-S][A-Z]{0,3}=[\w .#'-]{0,9}", fullmatch=True),
            st.from_regex(
                r"T=('[\w #]{0,9}'|\"[\w #]{0,9}\"|[\w#]{0,9})( #[ \w]{0,9})?",
                fullmatch=True,
            ),
            st.from_regex(r"#[ -~]{0,9}", fullmatch=True),
            st.just(""),
        )
    )
)
def test_what_is_read_back_differs_only_there(lines: list[str]) -> None:
    """Whatever the file holds."""
    before = "".join(f"{line}\n" for line in lines)
    after = changed(before, {"T": NEW})
    read = dotenv_values(stream=StringIO(before))
    assert dotenv_values(stream=StringIO(after)) == {**read, "T": NEW}
    assert _others(after) == _others(before)


def _others(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("T=")]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """Also when everybody could before; nothing else is left in the folder."""
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    path.chmod(0o644)
    write_env(path, {"T": NEW})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [".env"]
    assert path.read_text() == f"A=1\nT={NEW}\n"


def test_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("A=1\n")
    (tmp_path / ".env").symlink_to(real)
    write_env(tmp_path / ".env", {"T": NEW})
    assert (tmp_path / ".env").is_symlink()
    assert real.read_text() == f"A=1\nT={NEW}\n"


@pytest.mark.parametrize(
    "value",
    ["", "two words", "line\nbreak", "a'quote", "a#comment", "${HOME}", "tökén"],
)
def test_what_no_token_is_is_refused_and_not_repeated(
    tmp_path: Path, value: str
) -> None:
    """It names the setting; nothing is written."""
    with pytest.raises(
        ConfigurationError, match=r"^T has a blank or a character"
    ) as refusal:
        write_env(tmp_path / ".env", {"T": value})
    assert not value or value not in refusal.value.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the old file, no half of a new one, and a sentence."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / ".env"
    path.write_text("T=old\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ConfigurationError, match="cannot be written: No space left on device"
    ):
        write_env(path, {"T": NEW})
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [
        (".env", "T=old\n")
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such permissions")
def test_a_file_that_others_may_read_is_named_with_what_mends_it(
    tmp_path: Path,
) -> None:
    """Its group may: a service often reads it so."""
    file = tmp_path / ".env"
    assert None is exposure(file)
    file.write_text("TELEGRAM_TOKEN=1:x\n")
    for mode, exposed in (
        (0o644, True),
        (0o604, True),
        (0o602, True),
        (0o640, False),
        (0o600, False),
    ):
        file.chmod(mode)
        assert exposed == bool(exposure(file)), oct(mode)
    file.chmod(0o644)
    assert f"Run: chmod 600 {file}" in (exposure(file) or "")


def test_what_setup_writes_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Also into a file that was copied from the example."""
    file = tmp_path / ".env"
    file.write_text("# mine\n")
    file.chmod(0o644)
    write_env(file, {"T": NEW})
    assert None is exposure(file)
