"""How a request is put to an OpenAI-compatible server. They differ, and say so only by refusing.

OpenAI's own API calls the longest answer `max_completion_tokens`; its reasoning models
refuse the older `max_tokens` (400, `unsupported_parameter`), and both at once are refused.
Others know `max_tokens`: Ollama, LM Studio and older llama.cpp pass over the newer name in
silence, so that nothing would be capped; Mistral and older vLLM refuse it (422 or 400,
`extra_forbidden`). So all but OpenAI are asked with `max_tokens` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from agent.llm.provider import LEAST, AttemptError, Objection

OPENAI = "https://api.openai.com/"

_NEWER, _OLDER = "max_completion_tokens", "max_tokens"
_REFUSED = frozenset(
    {400, 422}
)  # how servers answer to what they do not know, or to a number they do not like
_NOT_THE_WORDING: frozenset[Objection] = frozenset(
    {"prompt too long", "no credit", "bad key", "declined"}
)


class Wording(Struct, frozen=True):
    """The fields of one request that not every server takes."""

    longest: int  # tokens of the answer
    name: str  # of the field that says so
    renamed: bool = False
    usage: bool = True  # asks for the tokens used
    tuned: Mapping[str, Any] = field(default_factory=dict)  # what operators add
    has_system: bool = True  # the system prompt is a message of its own

    @classmethod
    def first(cls, url: str, longest: int, learned: str | None) -> Wording:
        """What is tried first; `learned` is the name that this server was found to know."""
        return cls(longest, learned or (_NEWER if url.startswith(OPENAI) else _OLDER))

    @property
    def fields(self) -> dict[str, Any]:
        return {
            **self.tuned,
            self.name: self.longest,
            **({"stream_options": {"include_usage": True}} if self.usage else {}),
        }

    def after(self, refusal: AttemptError) -> Wording | None:
        """What to try after this refusal; None when no other wording helps.

        The longest answer only becomes shorter, never longer than what was set aside: vLLM
        and OpenAI refuse one for which the context has no room beside the prompt, where
        others end it there.
        """
        if refusal.objection == "longest too long":
            return self._shorter(refusal.room)
        if refusal.objection == "no system":
            return replace(self, has_system=False) if self.has_system else None
        if refusal.status not in _REFUSED or refusal.objection in _NOT_THE_WORDING:
            return None
        if refusal.objection == "longest unknown" and not self.renamed:
            return replace(
                self, name=_OLDER if self.name == _NEWER else _NEWER, renamed=True
            )
        if self.tuned:
            return replace(self, tuned={})

        return (
            replace(self, usage=False) if self.usage else None
        )  # older servers do not know stream_options

    def _shorter(self, room: int | None) -> Wording | None:
        """Where the server said how much room there is, that much; else half, until it fits."""
        if self.longest <= LEAST:
            return None

        shorter = (
            room if room is not None and room < self.longest else self.longest // 2
        )
        return replace(self, longest=max(LEAST, shorter))
