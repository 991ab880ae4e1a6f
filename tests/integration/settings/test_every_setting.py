"""Every setting in its odd but legal forms, and in its broken ones: it works, or one
sentence names it.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.app import build_channels, configured_channels
from agent.cli.chat import own_chat
from agent.cli.serve import http
from agent.core.errors import AgentError
from agent.llm.catalog import check_models
from agent.llm.router import open_models
from agent.settings import Settings, load_settings
from agent.settings.provider_variables import ProviderVariables
from agent.web.state import InstanceState
from channels.services import WITHOUT_STORES
from storage.connecting.requirements import check_connection
from storage.control.credentials import Secrets
from storage.migrate.stores import open_stores

WORKS = ""
KEY, OTHER_KEY = (b64encode(bytes([filler] * 32)).decode() for filler in (1, 2))
TELEGRAM = "123456789:AAF-abcdefghijklmnopqrstuvwxyz01234"
DISCORD = "MTAwMDAwMDAwMDAwMDAwMDAw.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789ab"
PUBLIC = "ab" * 32
DATABASE, REDIS = "<DATABASE>", "<REDIS>"

TABLE: Mapping[str, Mapping[str, str]] = {
    "DATABASE_URL": {
        f" {DATABASE}\n": WORKS,
        f'"{DATABASE}"': WORKS,
        f"{DATABASE}&sslmode=prefer&connect_timeout=5&application_name=x": WORKS,
        f"{DATABASE}&pooled=true": WORKS,
        f"{DATABASE}&nosuch=1": "nosuch",
        f"{DATABASE}&sslmode=maybe": "sslmode",
        "postgresql://u:hu\nsh@127.0.0.1:1/db": "control character",
        "postgresql://u:hush@127.0.0.1:1/db": "No Postgres answers",
        "postgresql://u:se/cret@127.0.0.1:1/db": "a port",
        "mysql://u:hush@127.0.0.1/db": "is not a Postgres URL",
        "hush": "is not a URL",
    },
    "DATABASE_REPLICA_URL": {
        f" {DATABASE}\n": WORKS,
        f"{DATABASE}&target_session_attrs=prefer-standby": WORKS,
        f"{DATABASE}&nosuch=1": "nosuch",
        "postgresql://u:hush@127.0.0.1:1/db": "No Postgres answers",
        "hush": "is not a URL",
    },
    "DATABASE_POOL_SIZE": {
        " 5 ": WORKS,
        "1": WORKS,
        "0": "greater",
        "-1": "greater",
        "many": "integer",
        "1e9": "integer",
    },
    "DATABASE_MAX_OVERFLOW": {"0": WORKS, "-1": "greater", "some": "integer"},
    "DATABASE_TURN_CONNECTIONS": {
        " 3 ": WORKS,
        "14": WORKS,
        "2": "greater",
        "15": "less",
    },
    "REDIS_URL": {  # what is wrong with it is a warning: the agent runs without Redis
        f" {REDIS}\n": WORKS,
        f"{REDIS}?db=0": WORKS,
        f"{REDIS}?family=0": "family",
        "redis://127.0.0.1:1": "does not answer",
        "http://:hush@127.0.0.1": "is not a Redis URL",
        "hush": "is not a URL",
    },
    "AGENT_HOME": {
        "~/agent": WORKS,
        "$HOME/agent": WORKS,
        "${HOME}": WORKS,
        " ~ ": WORKS,
        "relative/folder": WORKS,
        "with blank/ünï": WORKS,
        "~no-such-user/agent": "does not exist",
        "/dev/null/x": "AGENT_HOME",
    },
    "DEFAULT_MODEL": {
        " offline:echo ": WORKS,
        "'offline:echo'": WORKS,
        "gpt-5": "provider:model",
        "nosuch:x": "provider",
    },
    "FALLBACK_MODELS": {
        "offline:echo,": WORKS,
        " offline:echo , offline:echo ": WORKS,
        "offline:echo\noffline:echo": WORKS,
        '["offline:echo", "offline:echo"]': WORKS,
        "offline:echo,x": "provider:model",
    },
    "MODELS": {
        "{}": WORKS,
        ' {"openai:x": {"input": "0.25", "context": 4096}}\n': WORKS,
        "{": "JSON",
        "[]": "valid",
        '{"openai:x": {"input": "free"}}': "valid",
        '{"openai:x": {"input": "NaN"}}': "valid",
        '{"openai:x": {"context": 300, "answer": 200}}': "half",
    },
    "CONTEXT_TOKENS": {
        "16_000": WORKS,
        " 300 ": WORKS,
        "16k": "integer",
        "1": "greater",
    },
    "SYSTEM_PROMPT": {'  "Be kind."\n\tAlways. ': WORKS, "\udcff": "UTF-8"},
    "OPENAI_API_KEY": {
        "sk-hush\n": WORKS,
        '"sk-hush"': WORKS,
        "Bearer sk-hush": WORKS,
        "\ufeffsk-hush": WORKS,
        "sk-hu sh": "a blank",
        "sk-hu\nsh": "new line",
        "sk-húsh": "a letter",
        "sk-…": "a letter",
        "sk-...": "example",
        "your-key-here": "example",
        "sk-ant-hush": "ANTHROPIC_API_KEY",
    },
    "OPENAI_BASE_URL": {
        " http://localhost:11434/v1/\n": WORKS,
        "HTTP://[::1]:1/v1": WORKS,
        "localhost:11434/v1": "address",
        "http://": "address",
        "http://host:port/v1": "address",
        "http://ho st/v1": "address",
        "ftp://host/v1": "address",
    },
    "ANTHROPIC_API_KEY": {
        "sk-ant-hush\r\n": WORKS,
        "sk-ant-hu\tsh": "new line",
        "sk-proj-hush": "OPENAI_API_KEY",
    },
    "ANTHROPIC_BASE_URL": {"https://host/": WORKS, "host": "address"},
    "MODEL_FIRST_BYTE_TIMEOUT": {
        "0.5": WORKS,
        " 30 ": WORKS,
        "30s": "number",
        "inf": "less",
        "nan": "valid",
        "0": "greater",
    },
    "MODEL_IDLE_TIMEOUT": {"1e1": WORKS, "inf": "less", "": WORKS, "soon": "number"},
    "MODEL_TOTAL_TIMEOUT": {"86400": WORKS, "1e300": "less", "-1": "greater"},
    "MAX_MESSAGE_CHARS": {"1": WORKS, "0": "greater", "x": "integer"},
    "WINDOW_MESSAGES": {"200": WORKS, "1": "greater", "201": "less", "x": "integer"},
    "DISCORD_TOKEN": {
        f"{DISCORD}\n": WORKS,
        f"Bot {DISCORD}": WORKS,
        f"{DISCORD[:30]}\n{DISCORD[30:]}": "new line",
        "123456789012345678": "application",
        PUBLIC: "DISCORD_PUBLIC_KEY",
        TELEGRAM: "Telegram",
        "xoxb-1-2-hush": "Slack",
    },
    "DISCORD_API_URL": {
        "https://discord.com/api/v10/": WORKS,
        "discord.com/api/v10": "address",
    },
    "DISCORD_PUBLIC_KEY": {
        f" {PUBLIC.upper()} ": WORKS,
        "none": "DISCORD_PUBLIC_KEY",
        "ab": "DISCORD_PUBLIC_KEY",
    },
    "TELEGRAM_TOKEN": {
        f" {TELEGRAM}\n": WORKS,
        f"bot{TELEGRAM}": "the word bot",
        "hush": "no bot's token",
        f"{TELEGRAM[:12]} {TELEGRAM[12:]}": "a blank",
        "xoxb-1-2-hush": "Slack",
        DISCORD: "Discord",
    },
    "TELEGRAM_API_URL": {
        "http://localhost:8081/": WORKS,
        "http://localhost:8081/bot": WORKS,
        "api.telegram.org": "address",
    },
    "SLACK_BOT_TOKEN": {
        "xoxb-1-2-hush\n": WORKS,
        "xoxe.xoxb-1-hush": WORKS,
        "xapp-1-hush": "SLACK_APP_TOKEN",
        "xoxp-1-hush": "user",
        "xoxb-1\n-hush": "new line",
        TELEGRAM: "Telegram",
    },
    "SLACK_APP_TOKEN": {
        " xapp-1-hush ": WORKS,
        "xoxb-1-hush": "SLACK_BOT_TOKEN",
        "xapp-1 hush": "a blank",
    },
    "SLACK_SIGNING_SECRET": {
        f"{PUBLIC[:32]}\n": WORKS,
        "xoxb-1-hush": "a token",
        "ab cd": "a blank",
    },
    "SLACK_API_URL": {"https://slack.com/api": WORKS, "slack.com": "address"},
    "HTTP_HOST": {
        " localhost ": WORKS,
        "0.0.0.0": WORKS,
        "::1": WORKS,
        "[::1]": WORKS,
        "no-such-host.invalid": "listen",
        "a" * 64: "listen",
        "192.0.2.1": "listen",
    },
    "HTTP_PORT": {
        " 0 ": WORKS,
        "65536": "less",
        "-1": "greater",
        "http": "integer",
        "8080/tcp": "integer",
    },
    "TRUSTED_PROXIES": {
        "127.0.0.1": WORKS,
        " 10.0.0.0/8, fd00::/8\n": WORKS,
        "proxy.example": "network",
    },
    "METRICS_TOKEN": {" hush\n": WORKS, "a\x01b": "control character"},
    "OIDC_ISSUER": {
        " https://id.example.org/realms/x ": WORKS,
        "http://127.0.0.1:8081": WORKS,
        "http://id.example.org": "https",
        "id.example.org": "https",
    },
    "OIDC_CLIENT_ID": {" agent ": WORKS, "a\x01b": "control character"},
    "OIDC_CLIENT_SECRET": {" hush\n": WORKS, "a\x01b": "control character"},
    "OIDC_SCOPES": {"openid groups": WORKS, "a\x01b": "control character"},
    "OIDC_NAME_CLAIM": {"preferred_username": WORKS, "a\x01b": "control character"},
    "OIDC_ROLE_CLAIM": {"realm_access.roles": WORKS, "a\x01b": "control character"},
    "OIDC_ROLES": {
        " boss=admin, staff=viewer ": WORKS,
        "a=b=operator": WORKS,
        "staff": "value=role",
        "staff=king": "value=role",
        "=admin": "value=role",
    },
    "OTEL_EXPORTER_OTLP_ENDPOINT": {
        " http://127.0.0.1:4318/ ": WORKS,
        "127.0.0.1:4318": "address",
    },
    "OTEL_SERVICE_NAME": {" lab ": WORKS, "a\x01b": "control character"},
    "OTEL_SDK_DISABLED": {" TRUE ": WORKS, "perhaps": "boolean"},
    "BACKUP_DIR": {" /backups ": WORKS, "~nobody_at_all/backups": "home folder"},
    "BACKUP_EVERY": {
        " 24 ": WORKS,
        "0.1": WORKS,
        "0": "greater",
        "0.09": "greater",
        "daily": "number",
    },
    "BACKUP_KEEP": {" 3 ": WORKS, "0": "greater", "all": "integer"},
    "RETENTION_DAYS": {
        " 365 ": WORKS,
        "0": "it should be greater",
        "30": "it should be greater",
        "year": "integer",
    },
    "DELIVERY_HOURS": {" 0.5 ": WORKS, "0": "greater", "day": "number"},
    "PUBLIC_URL": {"https://agent.example/": WORKS, "agent.example": "address"},
    "HTTPS_PROXY": {
        " http://u:pw@proxy.example:3128 ": WORKS,
        "proxy.example:3128": WORKS,
        "socks5://u:hush@proxy.example": "SOCKS",
        "http://": "address",
        "http://proxy.example:port": "address",
    },
    "HTTP_PROXY": {"proxy.example": WORKS, "ftp://proxy.example": "address"},
    "ALL_PROXY": {"https://proxy.example": WORKS, "socks5h://proxy.example": "SOCKS"},
    "NO_PROXY": {
        "localhost,fe80::/10": WORKS,
        " * ": WORKS,
        "[::1,10.0.0.0/99": WORKS,
        "a\x01b": "control character",
    },
    "ENCRYPTION_KEYS": {
        KEY: WORKS,
        f" {KEY} , {OTHER_KEY},\n": WORKS,
        f"{KEY}\n{OTHER_KEY}": WORKS,
        "hush": "base64",
        f"{KEY},hush": "base64",
        f"{KEY[:20]} {KEY[20:]}": "base64",
    },
    "AGENT_OPERATOR": {" ada ": WORKS, "Ada L.": WORKS, "a\nb": "control character"},
    "LOG_LEVEL": {"INFO": WORKS, " Warn ": WORKS, "loud": "debug"},
    "LOG_FORMAT": {"JSON": WORKS, "xml": "json"},
}
ROWS = [
    (name, value, expected)
    for name, rows in TABLE.items()
    for value, expected in rows.items()
]
NEEDS_STORES = (
    "DATABASE_URL",
    "DATABASE_REPLICA_URL",
    "DATABASE_POOL_SIZE",
    "DATABASE_TURN_CONNECTIONS",
    "REDIS_URL",
    "AGENT_HOME",
)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, and a home folder that is the test's own."""
    for name in [
        each for each in os.environ if each.lower() in Settings.model_fields
    ]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


async def use(configuration: Settings, *, stores: bool) -> None:
    """Each setting is put to use as the agent does."""
    async with AsyncExitStack() as stack:
        check_models(
            configuration, await stack.enter_async_context(open_models(configuration))
        )
        build_channels(
            configuration, configured_channels(configuration), WITHOUT_STORES
        )
        Secrets([key.get_secret_value() for key in configuration.encryption_keys])
        with own_chat(configuration.agent_home / "terminal", "ada"):
            pass
        await stack.enter_async_context(
            http(configuration.model_copy(update={"http_port": 0}), InstanceState())
        )
        if stores:
            await stack.enter_async_context(open_stores(configuration))
        if configuration.database_replica_url:
            url = configuration.database_replica_url.get_secret_value()
            await check_connection(url, "DATABASE_REPLICA_URL", replica=True)


@pytest.mark.parametrize(("name", "value", "expected"), ROWS)
async def test_it_works_or_one_sentence_names_it(
    name: str,
    value: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stores = name in NEEDS_STORES
    given = value.replace(DATABASE, database_url).replace(REDIS, redis_url)
    base = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DISCORD_TOKEN": DISCORD,
        "SLACK_BOT_TOKEN": "xoxb-1",
    }
    if value == "/dev/null/x":
        base = {}  # with stores of its own
    for setting, text in {**base, name: given}.items():
        monkeypatch.setenv(setting, text)
    try:
        await use(load_settings(), stores=stores or name == "REDIS_URL")
        said = ""
    except AgentError as error:
        said = error.sentence
    if name == "REDIS_URL":
        said = "\n".join(
            line for line in capsys.readouterr().out.splitlines() if "warning" in line
        )
    assert (expected != WORKS) == bool(said), said
    assert expected in said
    assert not said or (name in said, "\n" in said, "hu" in said) == (
        True,
        False,
        False,
    ), said


def test_the_table_has_every_setting_in_a_form_that_works_and_one_that_does_not() -> (
    None
):
    dynamic = {  # tests/unit/settings/test_providers.py has theirs
        name.upper() for name in ProviderVariables.model_fields
    }
    assert {name.upper() for name in Settings.model_fields} - dynamic == set(TABLE)
    assert [] == [
        name
        for name, rows in TABLE.items()
        if {bool(expected) for expected in rows.values()} != {True, False}
    ]


def test_a_home_in_the_persons_folder_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not in a folder named ~; from the environment and from `.env`."""
    for written in ("~/agent", "$HOME/agent", "${HOME}/agent"):
        monkeypatch.setenv("AGENT_HOME", written)
        assert tmp_path / "agent" == load_settings().agent_home
    monkeypatch.delenv("AGENT_HOME")
    (tmp_path / ".env").write_text("\ufeffAGENT_HOME=~/other\n", encoding="utf-8")
    assert tmp_path / "other" == load_settings().agent_home


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(
    name=st.sampled_from(sorted(TABLE)),
    value=st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1
    ),
)
def test_any_text_is_read_or_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as environment:
        environment.setenv(name, value)
        try:
            load_settings()
        except AgentError as error:
            assert name in error.sentence
            assert "\n" not in error.sentence


@pytest.mark.parametrize(
    "written",
    [
        "offline:a,offline:b",
        '["offline:a", "offline:b"]',
        "['offline:a','offline:b']",
    ],
)
def test_a_list_may_be_written_as_json(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """As some hosters' forms ask for it."""
    monkeypatch.setenv("FALLBACK_MODELS", written)
    assert ["offline:a", "offline:b"] == load_settings().fallback_models


@pytest.mark.parametrize("end", ["", "/", "/bot", "/bot/"])
def test_the_root_of_the_bot_api_has_no_bot(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("TELEGRAM_API_URL", f"https://api.telegram.org{end}")
    assert "https://api.telegram.org" == load_settings().telegram_api_url
