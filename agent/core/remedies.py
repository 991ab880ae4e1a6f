"""What may be done about a refusal, as a value. Each face says it in its own words.

The command line speaks of options and commands, a page of its fields and buttons.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Act = Literal["add", "choose", "correct", "identify", "omit"]
"""add: give one of the fields too. choose: give only one of them. correct: give another
value. identify: say who makes the change. omit: give another value, or none.
"""


class Amend(Struct, frozen=True):
    """Ask again with other fields. `wanted` describes a value that would be taken."""

    act: Act
    fields: tuple[str, ...]
    wanted: str = ""


class Run(Struct, frozen=True):
    """Another operation, named by its subject and verb, such as `flags list`.

    `effect` completes the sentence that begins with it, such as "shows all". `target` is
    what it is done to; `consent` is the field that says so explicitly.
    """

    operation: str
    effect: str
    target: str = ""
    consent: str = ""


Remedy = Amend | Run
