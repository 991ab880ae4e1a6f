"""Every setting, read once from the environment and `.env`. `docs/configuration.md` is
generated from here.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
from dotenv.parser import parse_stream
from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
    SettingsError,
)

from agent.core.errors import ConfigurationError

OFFLINE = "offline:echo"
ENV_FILE = Path(".env")


ANSWER_TOKENS = 8192
"""The longest answer asked for where nobody named another. Every current Claude model can
write at least this much
(https://docs.anthropic.com/en/docs/about-claude/models/overview)."""


class ModelSpec(BaseModel):
    """What is known of one model: prices in USD per million tokens, context and longest
    answer in tokens.
    """

    input: Decimal | None = Field(default=None, ge=0)
    cached_input: Decimal | None = Field(default=None, ge=0)
    output: Decimal | None = Field(default=None, ge=0)
    context: int | None = Field(default=None, ge=256)
    answer: int | None = Field(default=None, ge=16)

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.answer and self.context and self.answer > self.context // 2:
            raise ValueError(
                "`answer` is at most half of `context`: the prompt needs room, too"
            )
        return self

    @model_validator(mode="after")
    def _caches_cheaper(self) -> Self:
        if (
            self.cached_input is not None
            and self.input is not None
            and self.cached_input > self.input
        ):
            raise ValueError(
                "`cached_input` is at most `input`: budgets set aside the price of `input`"
            )
        return self

    @property
    def longest(self) -> int:
        """The longest answer asked for: what the server is told, budgets set aside and
        prompts leave free.
        """
        if self.answer is not None:
            return self.answer
        return (
            ANSWER_TOKENS
            if self.context is None
            else min(ANSWER_TOKENS, self.context // 4)
        )


UNKNOWN_MODEL = ModelSpec()


class Settings(BaseSettings):
    """The environment's variables. Names are fixed: operators' scripts depend on them."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
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

    # models
    default_model: str | None = Field(
        default=None,
        description="`provider:model` used when neither conversation, person nor "
        "channel names one. Unset: "
        "`openai:gpt-5-mini` or `anthropic:claude-haiku-4-5`, whichever has a "
        "key, else `offline:echo`.",
    )
    fallback_models: Annotated[list[str], NoDecode] = Field(
        default=[],
        description="Models asked in turn when one fails before its first word, comma-separated.",
    )
    models: dict[str, ModelSpec] = Field(
        default={},
        description="Prices in USD per million tokens, context sizes and longest "
        "answers in tokens, as JSON: "
        '`{"openai:gpt-5-mini": {"input": "0.25", "output": "2", "context": '
        '400000, "answer": 16000}}`. '
        "A model without a price has an unknown cost, not a cost of zero. "
        "`cached_input` is the price of input that "
        "the server had kept from before; without it that costs as much as "
        "`input`. `answer` counts what a model "
        "thinks, too; "
        f"without it answers end at {ANSWER_TOKENS:,} tokens, or at a quarter of "
        "a smaller `context`.",
    )
    context_tokens: int = Field(
        default=16_000,
        ge=256,
        description="Tokens of a prompt for models whose context size is not in `MODELS`.",
    )
    system_prompt: str = Field(
        default="You are a helpful assistant.",
        description="System prompt of channels that have none of their own.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, description="Key for `openai:` models."
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        description="Any OpenAI-compatible server: Ollama, vLLM, OpenRouter … "
        "Where `/v1` is left out, it is found.",
    )
    anthropic_api_key: SecretStr | None = Field(
        default=None, description="Key for `anthropic:` models."
    )
    anthropic_base_url: str = Field(
        default="https://api.anthropic.com",
        description="Root of Anthropic's API or a server that speaks it.",
    )
    model_first_byte_timeout: float = Field(
        default=20,
        gt=0,
        description="Seconds until a model's first byte, retries and fallbacks "
        "excluded. A model that never answered "
        "yet and has no fallback may take as long as `MODEL_TOTAL_TIMEOUT`: it "
        "may have to be loaded.",
    )
    model_idle_timeout: float = Field(
        default=15, gt=0, description="Seconds between two pieces of an answer."
    )
    model_total_timeout: float = Field(
        default=120,
        gt=0,
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

    @field_validator("fallback_models", "encryption_keys", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @property
    def model(self) -> str:
        """The model used when nobody named one."""
        if self.default_model:
            return self.default_model
        if self.openai_api_key:
            return "openai:gpt-5-mini"
        if self.anthropic_api_key:
            return "anthropic:claude-haiku-4-5"
        return OFFLINE


def load_settings() -> Settings:
    """Reads the environment and `.env`. Raises ConfigurationError naming the setting, never
    its value.
    """
    _check_env_file(ENV_FILE)
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise ConfigurationError(
            f"{name} is not valid: {first['msg'].rstrip('.')}. See docs/configuration.md."
        ) from error
    except SettingsError as error:  # a JSON setting that is not JSON
        name = str(error).partition('"')[2].partition('"')[0].upper() or "A setting"
        raise ConfigurationError(
            f"{name} is not valid JSON. See docs/configuration.md."
        ) from error


def _check_env_file(path: Path) -> None:
    """python-dotenv passes over lines it cannot read; a person wants to hear of them."""
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8") as stream:
            bad = next(
                (binding for binding in parse_stream(stream) if binding.error), None
            )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {type(error).__name__}. Mend or remove it."
        ) from error
    if bad is not None:
        raise ConfigurationError(
            f"{path}, line {bad.original.line}: this is no NAME=value line. Mend "
            "it or put # before it."
        )
