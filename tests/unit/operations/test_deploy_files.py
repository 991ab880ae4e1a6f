"""The files to deploy with say what the program does, hold no secret, and real servers take
them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic_core import PydanticUndefined
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from agent.settings import Settings
from agent.settings.provider_variables import ProviderVariables
from agent.settings.providers import PRESETS
from tests.support.installed import closure
from tests.support.servers import Valkey, running, valkey_server

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
REDIS_CONF = ROOT / "redis.conf"
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

PASSWORDS = {"POSTGRES_PASSWORD", "AGENT_POSTGRES_PASSWORD", "REDIS_PASSWORD"}


def blocks(text: str) -> list[list[str]]:
    """The paragraphs of a file, as lines."""
    return [paragraph.splitlines() for paragraph in re.split(r"\n{2,}", text.strip())]


# --- redis.conf ---------------------------------------------------------------


class ConfiguredRedis(Valkey):
    """A server that was given redis.conf, as a deployment gives it; on a socket of its own."""

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [
            str(valkey_server()),
            str(REDIS_CONF),
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
        ]
        command += ["--dir", str(self.folder)]
        return subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
        )


def directives() -> dict[str, str]:
    """What redis.conf sets; the values of a name that stands more than once follow each other."""
    found: dict[str, str] = {}
    for line in REDIS_CONF.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            found[name] = f"{found[name]} {value}" if name in found else value
    return found


async def test_a_real_server_takes_every_line_of_redis_conf() -> None:
    with running(ConfiguredRedis()) as server:
        async with Redis.from_url(server.url, decode_responses=True) as client:
            taken = {
                name: (await client.config_get(name))[name] for name in directives()
            }
    assert {**directives(), "maxmemory": str(512 * 1024 * 1024)} == taken


def test_redis_conf_has_the_specified_settings() -> None:
    specified = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": "512mb",
        "maxmemory-policy": "allkeys-lru",
        "save": "900 1 300 10 60 10000",
        "tcp-backlog": "511",
        "timeout": "0",
        "tcp-keepalive": "300",
    }
    assert specified == {name: directives().get(name) for name in specified}


def test_every_line_of_redis_conf_says_why() -> None:
    settings = [
        block
        for block in blocks(REDIS_CONF.read_text(encoding="utf-8"))
        if block[-1][0] != "#"
    ]
    unexplained = [
        block
        for block in settings
        if not (block[0].startswith("# ") and len(block) > 1)
    ]
    assert unexplained == []
    assert len(settings) == len(
        [line for block in settings for line in block if line[0] != "#"]
    )


# --- docker-compose.yml -------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
    return parsed


def test_no_password_has_a_default() -> None:
    used = set(re.findall(r"\$\{(\w*PASSWORD\w*)[^}]*\}", COMPOSE))
    required = set(re.findall(r"\$\{(\w*PASSWORD\w*):\?[^}]+\}", COMPOSE))
    assert used == required == PASSWORDS
    assert len(re.findall(r"\$\{\w*PASSWORD\w*", COMPOSE)) == len(
        re.findall(r"\$\{\w*PASSWORD\w*:\?", COMPOSE)
    )


def test_the_servers_are_not_older_than_supported(services: dict[str, Any]) -> None:
    majors = {
        name: int(services[name]["image"].partition(":")[2].partition(".")[0])
        for name in ("postgres", "redis")
    }
    assert majors["postgres"] >= 16
    assert majors["redis"] >= 7


def test_the_database_is_migrated_before_anything_is_served(
    services: dict[str, Any],
) -> None:
    migrate, agent = services["migrate"], services["agent"]
    assert (migrate["command"], agent["command"]) == (["db", "upgrade"], ["serve"])
    assert migrate["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert (
        agent["depends_on"]["migrate"]["condition"]
        == "service_completed_successfully"
    )


def test_the_agent_starts_without_waiting_for_a_healthy_redis(
    services: dict[str, Any],
) -> None:
    assert services["agent"]["depends_on"]["redis"]["condition"] == "service_started"


async def test_redis_is_started_with_redis_conf_and_a_password_that_no_command_line_shows(
    services: dict[str, Any], tmp_path: Path
) -> None:
    """The command as compose runs it, on a socket of the test's own."""
    redis = services["redis"]
    shell, option, script = redis["command"]
    mounted = redis["volumes"][0].split(":")
    assert mounted == ["./redis.conf", "/etc/redis/redis.conf", "ro"]
    assert (shell, option) == ("sh", "-c")

    socket = tmp_path / "redis.sock"
    script = script.replace("$$", "$").replace(
        "redis-server", str(valkey_server()), 1
    )
    script = script.replace(mounted[1], str(REDIS_CONF))
    script = script.replace(
        "--bind", f"--port 0 --unixsocket {socket} --dir {tmp_path} --bind"
    )
    environment = {**os.environ, "REDISCLI_AUTH": "s3cret"}
    process = subprocess.Popen([shell, option, script], env=environment)
    try:
        async with Redis(unix_socket_path=str(socket), password="s3cret") as client:
            await until_answered(client)
        async with Redis(unix_socket_path=str(socket)) as stranger:
            with pytest.raises(
                (AuthenticationError, RedisConnectionError), match="authenticated"
            ):
                await stranger.ping()
        shown = Path(f"/proc/{process.pid}/cmdline")
        assert not shown.exists() or b"s3cret" not in shown.read_bytes()
    finally:
        process.terminate()
        process.wait(10)


async def until_answered(client: Redis) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                assert await client.ping()
                return
            except (ConnectionError, RedisConnectionError):
                await asyncio.sleep(0.02)


def test_the_agent_runs_under_a_role_that_owns_nothing(
    services: dict[str, Any],
) -> None:
    agent, migrate, postgres = (
        services[name] for name in ("agent", "migrate", "postgres")
    )
    urls = {
        name: service["environment"]["DATABASE_URL"]
        for name, service in (("agent", agent), ("migrate", migrate))
    }
    script = "./deploy/postgres-roles.sh:/docker-entrypoint-initdb.d/roles.sh:ro"

    assert "://agent_app:${AGENT_POSTGRES_PASSWORD" in urls["agent"]
    assert "://agent:${POSTGRES_PASSWORD" in urls["migrate"]
    assert script in postgres["volumes"]


def test_the_memory_of_the_agent_is_bounded(services: dict[str, Any]) -> None:
    assert services["agent"]["mem_limit"] == "1g"


def test_only_proxies_can_be_reached_and_by_default_only_from_this_machine(
    services: dict[str, Any],
) -> None:
    """So any number of agents may stand behind them."""
    published = {
        name: service["ports"]
        for name, service in services.items()
        if "ports" in service
    }
    assert published == {
        "proxy": ["127.0.0.1:${HTTP_PORT:-8080}:8080"],
        "tls": ["80:80", "443:443", "443:443/udp"],
    }
    assert services["tls"]["profiles"] == ["tls"]
    assert not [name for name in services if "container_name" in services[name]]


def test_every_service_has_bounds_and_logs_that_end(services: dict[str, Any]) -> None:
    bounded = {
        name: ("mem_limit" in service, service["logging"]["options"]["max-size"])
        for name, service in services.items()
    }
    assert bounded == dict.fromkeys(services, (True, "10m"))


def test_the_agent_reaches_a_model_server_of_this_machine(
    services: dict[str, Any],
) -> None:
    assert services["agent"]["extra_hosts"] == ["host.docker.internal:host-gateway"]


def test_the_agent_does_not_know_the_owner_s_password(
    services: dict[str, Any],
) -> None:
    """`.env` is read whole, so what is compose's own is emptied."""
    assert {""} == {services["agent"]["environment"][name] for name in PASSWORDS}


def test_a_migration_is_the_deployment_s_and_no_person_s(
    services: dict[str, Any],
) -> None:
    assert services["migrate"]["environment"]["AGENT_OPERATOR"] == "docker-compose"


def test_a_proxy_asks_for_the_agent_by_its_name_and_port(
    services: dict[str, Any],
) -> None:
    for name in ("proxy", "tls"):
        mounted = services[name]["volumes"][0].split(":")
        text = (ROOT / mounted[0]).read_text(encoding="utf-8")
        upstream = dict(re.findall(r"^\s+(name|port) (\w+)$", text, re.MULTILINE))
        assert upstream == {"name": "agent", "port": "8080"}
        assert mounted[1:] == ["/etc/caddy/Caddyfile", "ro"]


def test_what_stores_data_has_a_volume_that_is_declared(
    services: dict[str, Any],
) -> None:
    declared = set(yaml.safe_load(COMPOSE)["volumes"])
    used = {
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
    }
    assert declared == {name for name in used if not name.startswith(".")}
    assert {"postgres-data", "redis-data"} <= declared


def test_everything_that_stays_up_has_a_health_check(
    services: dict[str, Any],
) -> None:
    without = {
        name for name, service in services.items() if "healthcheck" not in service
    }
    assert without == {"agent"}, "the agent's is in its Dockerfile"


# --- Dockerfile ---------------------------------------------------------------


def test_the_image_does_not_run_as_root() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", last_stage, re.MULTILINE) == ["10001"]


def test_the_image_has_every_package_and_all_extras_at_exact_versions() -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE))
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "tool"
    ]["hatch"]["build"]
    assert set(build["targets"]["wheel"]["packages"]) == copied
    assert re.findall(r"pip install (.+)$", DOCKERFILE, re.MULTILINE) == [
        '--constraint deploy/constraints.txt ".[all]"'
    ]


def test_every_base_is_pinned_to_a_release(services: dict[str, Any]) -> None:
    bases = re.findall(r"^ARG PYTHON=(.+)$", DOCKERFILE, re.MULTILINE)
    assert {"${PYTHON}"} == set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))

    bases += [
        service["image"] for service in services.values() if "build" not in service
    ]
    assert len(bases) == 5
    assert [] == [base for base in bases if not re.search(r":\d+\.\d+", base)]


def constraints() -> dict[str, str]:
    lines = (ROOT / "deploy" / "constraints.txt").read_text("utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert [] == [
        line for line in pinned if not re.fullmatch(r"[\w.-]+==[\w.]+", line)
    ]

    return dict(line.split("==") for line in pinned)


def test_the_constraints_name_every_distribution_of_the_image_and_no_index() -> None:
    """At versions that pyproject.toml allows. Another system needs some others more."""
    own = distribution("simple-ai-agent")
    needed = closure(own, ("all",))
    pinned = constraints()
    assert set() == needed - set(pinned) - {"exceptiongroup", "async-timeout"}

    for requirement in map(Requirement, own.requires or ()):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version), requirement


def test_the_build_sees_what_it_copies_and_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    sources = {
        word
        for line in re.findall(r"^COPY ([^-].+)$", DOCKERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert "*" == next(line for line in ignored if line and line[0] != "#")
    assert sources == allowed
    assert "**/.env*" in ignored


@pytest.mark.parametrize(
    ("answer", "healthy"), [("200 OK", True), ("503 Service Unavailable", False)]
)
async def test_the_health_check_asks_the_live_path_on_the_port_that_is_set(
    answer: str, healthy: bool
) -> None:
    asked = []

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        asked.append((await reader.readline()).split()[1])
        writer.write(
            f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()

    [command] = re.findall(r"CMD (\[\"python\".+\])$", DOCKERFILE, re.MULTILINE)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        check = await asyncio.create_subprocess_exec(
            sys.executable,
            *json.loads(command)[1:],
            env={**os.environ, "HTTP_PORT": str(port)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        status = await check.wait()
    assert (asked, status == 0) == ([b"/health/live"], healthy)


# --- .env.example -------------------------------------------------------------


def examples() -> dict[str, tuple[str, str]]:
    """What .env.example says of each setting, and the value it shows."""
    found = {}
    for *comment, last in blocks(ENV_EXAMPLE):
        if match := re.fullmatch(r"# ([A-Z_]+)=(.*)", last):
            found[match[1]] = (
                " ".join(line.removeprefix("# ") for line in comment),
                match[2],
            )
    return found


def test_every_setting_stands_in_the_example_with_its_meaning_and_default() -> None:
    expected = {}
    for name, setting in Settings.model_fields.items():
        if name in ProviderVariables.model_fields:
            continue  # not one variable: see the next test
        default = (
            ""
            if setting.default in (None, PydanticUndefined, [], {})
            else str(setting.default)
        )
        expected[name.upper()] = (setting.description, default)
    assert expected == {
        name: example
        for name, example in examples().items()
        if name not in {*PASSWORDS, "PUBLIC_HOST", *of_providers()}
    }


def of_providers() -> set[str]:
    return {
        f"{name.upper()}_{'API_KEY' if preset.needs_key else 'BASE_URL'}"
        for name, preset in PRESETS.items()
    }


def test_what_is_enough_for_each_provider_stands_in_the_example() -> None:
    shown = {name: examples()[name][1] for name in of_providers()}

    assert dict.fromkeys(of_providers(), "") == shown


def test_the_example_names_the_passwords_that_compose_needs_and_shows_none() -> None:
    assert {name: examples()[name][1] for name in PASSWORDS} == dict.fromkeys(
        PASSWORDS, ""
    )


def test_an_example_with_everything_switched_on_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in examples():
        monkeypatch.delenv(name, raising=False)
    everything = tmp_path / "env"
    everything.write_text(
        re.sub(r"^# ([A-Z_]+=)", r"\1", ENV_EXAMPLE, flags=re.MULTILINE),
        encoding="utf-8",
    )
    assert Settings(_env_file=None) == Settings(_env_file=everything)


def test_the_example_as_it_is_sets_nothing() -> None:
    assert [
        line for line in ENV_EXAMPLE.splitlines() if line and not line.startswith("#")
    ] == []
