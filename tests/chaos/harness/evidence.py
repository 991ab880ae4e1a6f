"""What is known after a run, as values. The checker judges it, wherever it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.harness.model import Asking, token_of
from tests.chaos.harness.people import Standing


@dataclass(frozen=True)
class Asked:
    """A message of a person."""

    token: str
    chat: str
    acknowledged: bool = True


@dataclass(frozen=True)
class Row:
    """A message in Postgres. `text` is what people are to see."""

    conversation: str
    seq: int
    role: str
    text: str
    answers: int | None = None
    notice: bool = False
    failed: bool = False  # its turn was given up

    @property
    def token(self) -> str:
        """Its name, as in `model`."""
        return token_of(self.text)


@dataclass(frozen=True)
class Evidence:
    """All that is known after a run. Chats are named as in `Asked`."""

    asked: Sequence[Asked]
    rows: Sequence[Row]
    standing: Mapping[str, Sequence[Standing]]
    prompts: Sequence[Asking] = ()
    poison: frozenset[str] = frozenset()  # tokens of messages that may be given up
