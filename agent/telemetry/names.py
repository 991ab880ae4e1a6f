"""What spans and their attributes are called: the one place that knows.

`gen_ai.*` after https://opentelemetry.io/docs/specs/semconv/gen-ai/ (1.41; the names of 1.36 and
before, such as `gen_ai.system`, are not sent). No attribute ever holds what people or models
wrote, nor who they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.completion import Usage

SCOPE = "simple-ai-agent"

# spans
TURN = "invoke_agent"
ACCEPT = "accept"
LOAD = "load"
CHAT = "chat"
STORE = "store"
DELIVER = "deliver"

# attributes
OPERATION = "gen_ai.operation.name"
CONVERSATION = "gen_ai.conversation.id"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
FIRST_TEXT_SECONDS = "gen_ai.response.time_to_first_chunk"
ERROR = "error.type"

# of this project
CHANNEL = "agent.channel"
KIND = "agent.inbound"
TURN_ID = "agent.turn.id"
COST = "agent.cost_usd"
ESTIMATED = "agent.usage.estimated"

Value = str | int | float | bool

_PROVIDERS = {
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Where the conventions have a word of their own; all others are called as here."""


def asked(model: str) -> Mapping[str, Value]:
    """Of a call to a model, `provider:model`."""
    provider, _, name = model.partition(":")

    return {
        OPERATION: CHAT,
        PROVIDER: _PROVIDERS.get(provider, provider),
        REQUEST_MODEL: name,
    }


def used(usage: Usage) -> Mapping[str, Value]:
    """Of its answer. A cost that is not known is left out."""
    found: dict[str, Value] = {
        RESPONSE_MODEL: usage.model.partition(":")[2],
        INPUT_TOKENS: usage.prompt_tokens,
        OUTPUT_TOKENS: usage.completion_tokens,
        CACHED_TOKENS: usage.cached_tokens,
        ESTIMATED: usage.estimated,
    }
    if usage.cost_usd is not None:
        found[COST] = float(usage.cost_usd)

    return found
