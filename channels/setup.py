"""What `agent setup <channel>` asks. Each `channels/<name>/setup.py` offers:

- `before() -> str`: Markdown, what to do on the platform until there is a token;
- `QUESTIONS`: what to ask then;
- `async after(values) -> str`: signs in with the answers (by setting name) and returns
  Markdown, what to do next (an invite link with its permissions, switches to set). Raises
  ConfigurationError.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One answer that setup needs."""

    setting: str  # the environment variable it is written to
    text: str
    secret: bool = True
