"""What `agent setup <channel>` asks. Each `channels/<name>/setup.py` offers:

- `before() -> str`: Markdown, how to get a token on the platform;
- `QUESTIONS`: the answers needed then;
- `async after(values) -> str`: signs in with the answers (by setting name) and returns
  Markdown: the next steps (an invite link with its permissions, switches to set). Raises
  ConfigurationError.
"""

from __future__ import annotations

from msgspec import Struct


class Question(Struct, frozen=True):
    """Asks for one setting."""

    setting: str  # its environment variable
    text: str
    secret: bool = True


def token_refused(platform: str, setting: str, place: str, code: str = "") -> str:
    """The sentence for a token that a platform does not know, alike on all of them.

    `place` is where a person copies it, `code` the platform's own word for it.
    """
    reason = f" ({code})" if code else ""

    return (
        f"{platform} does not accept {setting}{reason}: copy it again from {place}."
    )
