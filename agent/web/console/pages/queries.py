"""What may stand after `?` in the address of each page. Anything else is said, not passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agent.core.text import is_text
from agent.reports.experiment import METRICS
from agent.web.console.page import Fields
from agent.web.console.pages.limits.listing import key_of
from storage.conversation.operating.listed import STATES

Known = Callable[[str], bool]

SHOWN = 60
"""Characters of what somebody typed."""


def anything(_value: str) -> bool:
    """The page itself looks at it."""
    return True


def one_of(*values: str) -> Known:
    return lambda value: value in values


def is_number(value: str) -> bool:
    return value.isdecimal() and len(value) < 19


YES = one_of("yes")
_BUDGET = {"scope": anything, "period": anything, "subject": anything}
_WHY = {"person": anything, "channel": anything, "chat": anything, "at": anything}

QUERIES: Mapping[str, Mapping[str, Known]] = {
    "/flags": {"q": anything},
    "/flags/{name}": {"ask": YES, **_WHY},
    "/experiments": {"q": anything, "copy": anything},
    "/experiments/{name}/report": {"metric": one_of(*METRICS), "within": YES},
    "/conversations": {
        "q": anything,
        "person": anything,
        "channel": is_text,
        "state": one_of(*STATES),
        "troubled": YES,
        "cost": anything,
        "order": one_of("active", "begun"),
        "before": anything,
    },
    "/conversations/{id}": {"before": anything, "follow": YES},
    "/people": {"q": anything, "before": anything},
    "/limits": {"q": anything, "after": lambda value: key_of(value) is not None},
    "/limits/budget": _BUDGET,
    "/limits/person": {"person": anything},
    "/audit": {"subject": anything, "actor": anything, "older": is_number},
    "/account": {"factor": one_of("new")},
}
"""By page. One that is not named takes nothing."""

OWN = ("/usage", "/models")
"""They say it in their own words."""


def known_query(
    path: str,
    query: Fields,
) -> tuple[Fields, Sequence[str]]:
    """What a page can use, and a sentence for each other thing."""
    if path in OWN:
        return query, ()

    known = QUERIES.get(path, {})
    kept: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    for name, value in query.items():
        if name not in known:
            notes[f'This page takes no "{name[:SHOWN]}"; it is shown without it.'] = (
                None
            )
        elif value.strip() and not known[name](value.strip()):
            sentence = f'There is no {name} "{value[:SHOWN]}"; it is left out.'
            notes[sentence] = None
        else:
            kept.setdefault(name, []).append(value)

    return Fields(kept), [*notes][:3]
