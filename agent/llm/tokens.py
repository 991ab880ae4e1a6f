"""How many tokens a prompt has, roughly, for when no server says it."""

from __future__ import annotations

from agent.core.completion import Prompt
from agent.core.prompt import PER_MESSAGE, estimate_tokens


def estimate_prompt(prompt: Prompt) -> int:
    """Tokens of a whole prompt, by the rule its budget was kept with. Only an estimate:
    mark it as such.
    """
    texts = (prompt.system, *(text for _, text in prompt.messages))
    return sum(estimate_tokens(text) + PER_MESSAGE for text in texts if text)
