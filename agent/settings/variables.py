"""Every setting, read once from the environment and `.env`. `docs/configuration.md` is
generated from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from agent.core.words.retention import MAX_DAYS, MIN_DAYS
from agent.settings.forms import cleaned
from agent.settings.model_spec import ANSWER_TOKENS, ModelName, ModelSpecs
from agent.settings.parts import Parts
from agent.settings.providers import (
    ANTHROPIC_URL,
    OPENAI_URL,
    Provider,
    anthropic,
    openai,
)
from agent.settings.tidy import listed

OFFLINE = "offline:echo"
_LISTS = ("fallback_models", "encryption_keys", "trusted_proxies")

DAY = 86_400.0
"""Seconds: no answer is waited for longer."""


class Settings(Parts):
    """The environment's variables. Names are fixed: operators' scripts depend on them."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        extra="ignore",
        env_ignore_empty=True,
        frozen=True,
    )

    # stores
    database_url: SecretStr | None = Field(
        default=None,
        description="Postgres 15 or later, "
        "`postgresql://user:password@host:port/name`; TLS by "
        "`?sslmode=`. "
        "Unset: an embedded Postgres in `AGENT_HOME`.",
    )
    database_replica_url: SecretStr | None = Field(
        default=None,
        description="A read-only Postgres for reports. Unset: the main one.",
    )
    database_pool_size: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="Connections to Postgres at a time, besides those for turns.",
    )
    database_max_overflow: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="So many more of them; one that is unused for five minutes is closed.",
    )
    database_turn_connections: int = Field(
        default=14,
        ge=3,
        le=14,
        description="Connections to Postgres for turns. With 14 each kind of statement has "
        "its own; with fewer some share one, and wait for each other.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Redis 7 or Valkey 8 and later, `redis://` or `rediss://` "
        "(TLS). Unset: an embedded Valkey "
        "in `AGENT_HOME`.",
    )
    agent_home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("simple-ai-agent")),
        description="Folder for everything the embedded stores and the terminal keep.",
    )
    retention_days: int | None = Field(
        default=None,
        ge=MIN_DAYS,
        le=MAX_DAYS,
        description=f"Days, at least {MIN_DAYS}, after which messages are deleted where a channel "
        "has no `retention` of its own. Unset: they are kept forever.",
    )

    # models
    default_model: ModelName | None = Field(
        default=None,
        description="`provider:model` used when neither conversation, person nor "
        "channel names one. Unset: "
        "one of the first provider that has a key, else `offline:echo`.",
    )
    fallback_models: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Models asked in turn when one fails before its first word, comma-separated.",
    )
    models: ModelSpecs = Field(
        default={},
        description="Prices in USD per million tokens, context sizes and longest "
        "answers in tokens, as JSON: "
        '`{"openai:gpt-5-mini": {"input": "0.25", "output": "2", "context": '
        '400000, "answer": 16000}}`. '
        "What is not named is known of most models (docs/limits-and-budgets.md); "
        "without a price the cost is unknown, not zero. "
        "`cached_input` is the price of input that "
        "the server had kept from before; without it that costs as much as "
        "`input`. `answer` counts what a model "
        "thinks, too; "
        f"without it answers end at {ANSWER_TOKENS:,} tokens, or at a quarter of "
        "a smaller `context`. `temperature`, `effort` and `fields` (further ones) go "
        "with each request.",
    )
    context_tokens: int = Field(
        default=16_000,
        ge=256,
        description="Tokens of a prompt for models whose context size is not known; if "
        "set, for all that are not in `MODELS`.",
    )
    system_prompt: str = Field(
        default="You are a helpful assistant.",
        description="System prompt of channels that have none of their own.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="Key for `openai:` models."
    )
    openai_base_url: str = Field(
        default=OPENAI_URL,
        description="Any OpenAI-compatible server: Ollama, vLLM, OpenRouter … "
        "Where `/v1` is left out, it is found.",
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, description="Key for `anthropic:` models."
    )
    anthropic_base_url: str = Field(
        default=ANTHROPIC_URL,
        description="Root of Anthropic's API or a server that speaks it.",
    )
    model_first_byte_timeout: float = Field(
        default=20,
        gt=0,
        le=DAY,
        description="Seconds until a model's first byte, retries and fallbacks "
        "excluded. A model that never answered "
        "yet and has no fallback may take as long as `MODEL_TOTAL_TIMEOUT` where its "
        "server has an address of this machine or network: it may have to be loaded.",
    )
    model_idle_timeout: float = Field(
        default=15,
        gt=0,
        le=DAY,
        description="Seconds between two pieces of an answer.",
    )
    model_total_timeout: float = Field(
        default=120,
        gt=0,
        le=DAY,
        description="Seconds for a whole answer, retries and fallbacks included.",
    )

    # messages
    max_message_chars: int = Field(
        default=32_000,
        gt=0,
        description="Longer messages are refused before they are stored.",
    )
    window_messages: int = Field(
        default=20,
        ge=2,
        le=200,
        description="How many of the last messages a prompt is made from, besides those that wait.",
    )
    delivery_hours: float = Field(
        default=24,
        gt=0,
        le=720,
        description="How long a stored answer is sent again while its platform is away or "
        'says "slow down". Then it is given up: the audit log names it, and the next answer '
        "in that chat says so.",
    )

    # channels
    discord_token: SecretStr | None = Field(
        default=None, description="Bot token; see docs/discord.md."
    )
    discord_api_url: str = Field(
        default="https://discord.com/api/v10",
        description="Base of Discord's REST API.",
    )
    discord_public_key: str | None = Field(
        default=None,
        description="The application's public key: verifies interactions sent to the webhook.",
    )
    telegram_token: SecretStr | None = Field(
        default=None, description="Bot token; see docs/telegram.md."
    )
    telegram_api_url: str = Field(
        default="https://api.telegram.org",
        description="Root of a Bot API server, without `/bot<token>`.",
    )
    slack_bot_token: SecretStr | None = Field(
        default=None, description="`xoxb-…`; see docs/slack.md."
    )
    slack_app_token: SecretStr | None = Field(
        default=None, description="`xapp-…`, for Socket Mode."
    )
    slack_signing_secret: SecretStr | None = Field(
        default=None, description="Verifies HTTP events."
    )
    slack_api_url: str = Field(
        default="https://slack.com/api/", description="Base of Slack's Web API."
    )

    # http
    http_host: str = Field(
        default="127.0.0.1", description="Address `agent serve` listens on."
    )
    http_port: int = Field(
        default=8080, ge=0, le=65535, description="Port `agent serve` listens on."
    )
    public_url: str | None = Field(
        default=None,
        description="Where platforms reach this server. Set: webhooks; unset: polling and sockets.",
    )
    trusted_proxies: Annotated[list[IPvAnyNetwork], NoDecode] = Field(
        default=[],
        description="Proxies whose X-Forwarded-For and -Proto are believed: networks, by commas. "
        "One that ends TLS has to send -Proto, else the console signs nobody in.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Asked for at /metrics. Unset: private networks are answered, past no proxy.",
    )

    https_proxy: SecretStr | None = Field(
        default=None,
        description="Proxy for all connections to `https://`, as `http://proxy.example:3128`.",
    )
    http_proxy: SecretStr | None = Field(
        default=None, description="Proxy for all connections to `http://`."
    )
    all_proxy: SecretStr | None = Field(
        default=None, description="Proxy where neither of the two is set."
    )
    no_proxy: str | None = Field(
        default=None,
        description="What is reached without a proxy: hosts (with all below them), "
        "addresses, ranges such as `10.0.0.0/8`, each with a port if need be, "
        "comma-separated; `*` for everything.",
    )

    # operation
    encryption_keys: Annotated[list[SecretStr], NoDecode] = Field(
        default=[],
        description="Fernet keys for credentials at rest, comma-separated, newest first.",
    )
    agent_operator: str | None = Field(
        default=None,
        description="Who makes an operator's changes, as the audit log names them; `--as` wins. "
        "Unset: the system's user.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning",
        description="`debug`, which also shows tracebacks, `info`, `warning` or `error`.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How log lines look: `text`, or `json` (one object a line).",
    )

    @model_validator(mode="before")
    @classmethod
    def _clean(cls, values: object) -> object:
        return cleaned(values) if isinstance(values, dict) else values

    @field_validator(*_LISTS, mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return listed(value)

    @field_validator("telegram_api_url", mode="after")
    @classmethod
    def _root(cls, value: str) -> str:
        """Telegram's own pages write the address with `/bot`, which stands before the token."""
        return value.removesuffix("/").removesuffix("/bot")

    @field_validator("http_host", mode="after")
    @classmethod
    def _without_brackets(cls, value: str) -> str:
        return value.removeprefix("[").removesuffix("]")

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return "warning" if value.lower() == "warn" else value.lower()

    @property
    def connections(self) -> int:
        """How many connections to Postgres one instance has at most."""
        return (
            self.database_pool_size
            + self.database_max_overflow
            + self.database_turn_connections
        )

    @property
    def own_providers(self) -> tuple[Provider, ...]:
        """OpenAI's and Anthropic's, or servers that speak as they do."""
        return (
            openai(self.openai_base_url, self.openai_api_key),
            anthropic(self.anthropic_base_url, self.anthropic_api_key),
        )

    @property
    def model(self) -> str:
        """The model used when nobody named one."""
        keyed = (one for one in self.own_providers if one.api_key)
        known = [one for one in (*keyed, *self.providers.values()) if one.model]
        first = f"{known[0].name}:{known[0].model}" if known else OFFLINE

        return self.default_model or first
