"""What a terminal may be sent of a text that somebody else wrote."""

from __future__ import annotations

import re

# All but tab and newline; and what turns the direction of the text around it (UAX 9).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str) -> str:
    """The text without characters that control a terminal, or show it in another order."""
    return _CONTROLS.sub("", text)
