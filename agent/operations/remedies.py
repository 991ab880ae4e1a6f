"""Errors in the words of the command line: what is wrong, and which options and commands help."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.errors import AgentError, ConfigurationError
from agent.core.remedies import Amend, Remedy, Run

_OPTIONS = {"actor": "--as or AGENT_OPERATOR"}
"""Fields whose option has another name."""


def described(error: AgentError) -> str:
    """Its sentence, and a sentence for each remedy."""
    remedies = error.remedies if isinstance(error, ConfigurationError) else ()

    return " ".join([error.sentence, *map(_sentence, remedies)])


def _sentence(remedy: Remedy) -> str:
    return _command(remedy) if isinstance(remedy, Run) else _options(remedy)


def _command(run: Run) -> str:
    words = ["agent", run.operation, run.target, run.consent and f"--{run.consent}"]
    command = " ".join(filter(None, words))

    return f"`{command}` {run.effect}."


def _options(amend: Amend) -> str:
    options = [_OPTIONS.get(field, f"--{field}") for field in amend.fields]

    match amend.act:
        case "add" if len(options) == 1:
            return f"Add {options[0]}."
        case "add":
            return f"Name {_listed(options, 'or')}."
        case "choose":
            return f"Name one of {_listed(options, 'and')} at a time."
        case "correct":
            return f"Correct {_listed(options, 'and')}."
        case "identify":
            return f"Say who you are with {_listed(options, 'or')}."
        case "omit":
            wanted = amend.wanted or "another value"
            return f"Give {wanted}, or omit {_listed(options, 'and')}."


def _listed(options: Sequence[str], word: str) -> str:
    *others, last = options

    return f"{', '.join(others)} {word} {last}" if others else last
