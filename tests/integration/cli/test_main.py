"""`agent …` as a process of its own: what it prints, where, and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from storage.migrate import HEAD
from tests.support.commands import AGENT, CLOSED, DEADLINE, Ended, Machine
from tests.support.model_server import Answer, model_server, refusal
from tests.support.warm import Warm


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine with nothing set, where commands start as people start them, not from a
    warm process.
    """
    return Machine(tmp_path)


@pytest.fixture
def unmigrated(
    tmp_path: Path, empty_database_url: str, redis_url: str, warm: Warm
) -> Machine:
    """A machine with two servers, of which one has no tables yet."""
    stores = {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url}

    return Machine(tmp_path, stores, warm)


def said(ended: Ended) -> list[str]:
    """What the offline model repeated, answer by answer."""
    return [
        line.partition("You said: ")[2]
        for line in ended.out.splitlines()
        if "You said: " in line
    ]


async def test_piped_lines_are_answered_and_remembered_without_any_setting(
    bare: Machine,
) -> None:
    """On a bare machine: two lines, two answers and nothing else; a later run goes on;
    every part is well.
    """
    first = await bare.agent("chat", lines=b"my name is Ada\nwhat did I say?\n")
    later = await bare.agent("chat", lines=b"and now?")
    status = await bare.agent("status", "--json")
    assert (first.status, said(first), first.err) == (
        0,
        ["my name is Ada", "what did I say?"],
        "",
    )
    assert "Before this you said: my name is Ada" in first.out
    assert (later.status, said(later)) == (0, ["and now?"])
    assert "I was given 2 earlier messages" in later.out
    parts = {part["part"]: part for part in json.loads(status.out)["parts"]}
    assert (status.status, parts["postgres"]["facts"]["embedded"]) == (0, True)
    assert "for one machine" in parts["postgres"]["text"]


async def test_the_offline_model_s_sentences_are_never_sent_to_a_real_model(
    machine: Machine,
) -> None:
    """From Postgres and from the cached window alike; what the person said is sent."""
    async with model_server() as server:
        real = {
            "DEFAULT_MODEL": "openai:gpt-5-mini",
            "OPENAI_API_KEY": "sk-1",
            "OPENAI_BASE_URL": server.url,
        }
        await machine.agent("chat", lines=b"my name is Ada\nI like tea\n")
        warm = await machine.agent("chat", lines=b"what do I like?", settings=real)
        cold = await machine.agent(
            "chat",
            lines=b"and my name?",
            settings={**real, "REDIS_URL": f"redis://{CLOSED}"},
        )

    assert (0, 0) == (warm.status, cold.status), warm.err + cold.err
    first, second = (
        [
            (message["role"], message["content"])
            for message in request.body["messages"]
            if message["role"] != "system"
        ]
        for request in server.requests
    )
    said = "my name is Ada\n\nI like tea\n\nwhat do I like?"
    assert [("user", said)] == first
    assert ("user", said) == second[0]
    assert ["user", "assistant", "user"] == [role for role, _ in second]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"DATABASE_URL": "postgres//secretword"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"postgresql://u:secretword@{CLOSED}/db"}, "DATABASE_URL"),
        ({"DEFAULT_MODEL": "nosuch"}, "DEFAULT_MODEL"),
        ({"DEFAULT_MODEL": "openai:gpt-5-mini"}, "DEFAULT_MODEL"),
        ({"FALLBACK_MODELS": "offline:echo,nosuch:x"}, "FALLBACK_MODELS"),
        ({"HTTP_PORT": "secretword"}, "HTTP_PORT"),
        ({"MODELS": "{secretword"}, "MODELS"),
        ({"AGENT_HOME": "/dev/null/x"}, "AGENT_HOME"),
    ],
)
async def test_a_wrong_setting_is_named_in_one_sentence(
    machine: Machine, settings: dict[str, str], names: str
) -> None:
    """It is named, nothing is printed but that, no secret is in it, and the exit status is 2."""
    if "AGENT_HOME" in settings:
        machine.variables.clear()
    ended = await machine.agent("chat", lines=b"hello\n", settings=settings)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("agent: ")
    assert ended.err.count("\n") == 1
    assert (names in ended.err, "secretword" in ended.err) == (True, False)


async def test_a_malformed_env_file_is_named_with_its_line(bare: Machine) -> None:
    """Instead of passing over the line."""
    (bare.folder / ".env").write_text("HTTP_PORT=8080\nthis is = 'no line\n")
    ended = await bare.agent("status")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("agent: .env, line 2:")


async def test_a_traceback_is_shown_on_demand(bare: Machine) -> None:
    """LOG_LEVEL=debug shows where it comes from, still without the password."""
    settings = {
        "DATABASE_URL": f"postgresql://u:secretword@{CLOSED}/db",
        "LOG_LEVEL": "debug",
    }
    ended = await bare.agent("chat", settings=settings)
    assert (ended.status, "Traceback" in ended.err, "secretword" in ended.err) == (
        2,
        True,
        False,
    )


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A server on loopback that talks as told, and its address."""
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        yield "127.0.0.1:" + str(listening.sockets[0].getsockname()[1])


async def _refuse_postgres(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """No TLS, then: password authentication failed (28P01)."""
    while length := int.from_bytes(await reader.readexactly(4)):
        body = await reader.readexactly(length - 4)
        if body[:4] == b"\x04\xd2\x16\x2f":
            writer.write(b"N")
            continue
        fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        writer.close()
        return


async def _refuse_redis(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while await reader.read(1000):
        writer.write(
            b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
        )
    writer.close()


async def test_a_wrong_password_names_its_setting(machine: Machine) -> None:
    """Of Postgres and of Redis."""
    async with server(_refuse_postgres) as postgres, server(_refuse_redis) as redis:
        first = await machine.agent(
            "chat", settings={"DATABASE_URL": f"postgresql://u:bad@{postgres}/db"}
        )
        second = await machine.agent(
            "chat", settings={"REDIS_URL": f"redis://:bad@{redis}"}
        )
    assert first == Ended(
        2, "", "agent: Postgres refused user or password. Correct DATABASE_URL.\n"
    )
    assert second == Ended(
        2, "", "agent: Redis refused the password. Correct REDIS_URL.\n"
    )


async def test_a_read_only_database_is_refused(machine: Machine) -> None:
    """Before anything is asked."""
    connection = await asyncpg.connect(machine.variables["DATABASE_URL"])
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(
        f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'
    )
    await connection.close()
    ended = await machine.agent("chat", lines=b"hello\n")
    assert (ended.status, "read-only" in ended.err, "DATABASE_URL" in ended.err) == (
        2,
        True,
        True,
    )


async def test_a_server_is_migrated_only_when_asked(
    unmigrated: Machine,
) -> None:
    """Without --migrate the command to give is named; status and doctor name it, too."""
    chat = await unmigrated.agent("chat", lines=b"hello\n")
    status = await unmigrated.agent("status")
    doctor = await unmigrated.agent("doctor", "--json")
    migrated = await unmigrated.agent("chat", "--migrate", lines=b"hello\n")
    assert (chat.status, "agent db upgrade" in chat.err) == (2, True)
    assert (status.status, "agent db upgrade" in status.out) == (1, True)
    assert [finding["part"] for finding in json.loads(doctor.out)["findings"]] == [
        "postgres"
    ]
    assert (doctor.status, migrated.status, said(migrated)) == (1, 0, ["hello"])


async def test_a_store_that_is_brought_up_to_date_is_said_in_one_line(
    unmigrated: Machine,
) -> None:
    """Where it holds something. Making a new one is nothing to be told."""
    made = await unmigrated.agent("chat", "--migrate", lines=b"hello\n")
    await unmigrated.agent("db", "downgrade", "-1", "--yes", "--no-backup")
    moved = await unmigrated.agent("chat", "--migrate", lines=b"hello\n")
    again = await unmigrated.agent("chat", "--migrate", lines=b"hello\n")

    assert ("", "") == (made.err, again.err)
    assert 1 == moved.err.count("\n")
    assert "bringing the database's schema from " in moved.err
    assert (0, ["hello"]) == (moved.status, said(moved))


async def test_both_ways_to_ask_for_the_version_say_it(bare: Machine) -> None:
    """It needs no setting and no command."""
    command, option = await bare.agent("version"), await bare.agent("--version")

    assert command == option
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", option.out)


async def test_the_schema_is_moved_by_command(
    unmigrated: Machine,
) -> None:
    """Up, looked at, compared, down; a migration that does not exist is named."""
    ran = [
        await unmigrated.agent("db", *arguments)
        for arguments in (
            ("upgrade",),
            ("status",),
            ("check",),
            ("downgrade", "base", "--yes", "--no-backup"),
            ("status",),
        )
    ]
    unknown = await unmigrated.agent("db", "upgrade", "nosuch")
    assert [(ended.status, ended.out.splitlines()[0]) for ended in ran] == [
        (0, f"schema {HEAD}"),
        (0, f"schema {HEAD}, needed {HEAD}"),
        (0, "tables and code agree"),
        (0, "schema empty"),
        (1, f"schema empty, needed {HEAD}"),
    ]
    assert (unknown.status, "'nosuch'" in unknown.err) == (2, True)


async def test_without_redis_it_is_slower_and_well(machine: Machine) -> None:
    """Same answers, exit status 0; status says slower, doctor says what to do."""
    machine.variables["REDIS_URL"] = f"redis://{CLOSED}"
    chat = await machine.agent("chat", lines=b"one\ntwo\n")
    status = await machine.agent("status", "--json")
    doctor = await machine.agent("doctor")
    states = {part["part"]: part["state"] for part in json.loads(status.out)["parts"]}
    active = {part["part"]: part["facts"] for part in json.loads(status.out)["parts"]}
    assert (chat.status, said(chat)) == (0, ["one", "two"])
    assert (status.status, states["redis"]) == (0, "slower")
    assert active["people"] == {"active": None}
    assert (doctor.status, "REDIS_URL" in doctor.out) == (1, True)


async def test_status_counts_who_is_active(machine: Machine) -> None:
    """By channel; and it says that Redis may have forgotten some."""
    nobody = await machine.agent("status")
    await machine.agent("chat", lines=b"hello\n")
    somebody = await machine.agent("status")
    facts = {
        part["part"]: part["facts"]
        for part in json.loads((await machine.agent("status", "--json")).out)["parts"]
    }
    assert "nobody active in 5 min, as far as Redis remembers" in nobody.out
    assert "1 on terminal active in 5 min, as far as Redis remembers" in somebody.out
    assert facts["people"]["active"] == {
        "discord": 0,
        "telegram": 0,
        "slack": 0,
        "terminal": 1,
    }


async def test_messages_without_a_month_of_their_own_are_an_alarm(
    machine: Machine,
) -> None:
    """Rows in the default partition make the status not well."""
    connection = await asyncpg.connect(machine.variables["DATABASE_URL"])
    await connection.execute(
        "INSERT INTO messages (conversation_id, timestamp, seq, id, role, content) "
        "VALUES (gen_random_uuid(), '2001-01-01', 1, gen_random_uuid(), 'user', 'old')"
    )
    await connection.close()
    ended = await machine.agent("status", "--json")
    parts = {part["part"]: part for part in json.loads(ended.out)["parts"]}
    assert (
        ended.status,
        parts["partitions"]["state"],
        parts["partitions"]["facts"],
    ) == (1, "not well", {"stray": 1})


async def test_the_doctor_is_silent_when_all_is_well(machine: Machine) -> None:
    """Not a word, exit status 0; as JSON an empty list."""
    plain, data = (
        await machine.agent("doctor"),
        await machine.agent("doctor", "--json"),
    )
    assert plain == Ended(0, "", "")
    assert (data.status, json.loads(data.out)) == (0, {"well": True, "findings": []})


async def test_the_doctor_asks_the_model(machine: Machine) -> None:
    """A key that is refused is found by the shortest request there is."""
    async with model_server() as model:
        model.script(refusal(401, code="invalid_api_key"))
        base = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "secretword"}
        ended = await machine.agent("doctor", settings=base)
    assert (
        ended.status,
        ended.out.startswith("model: "),
        "secretword" in ended.out,
    ) == (1, True, False)


async def test_a_line_without_an_answer_makes_the_status_1(machine: Machine) -> None:
    """A line that is no text and a model that fails: told on standard error, the others are
    answered.
    """
    async with model_server() as model:
        model.script(Answer("Hello Ada."), refusal(401, code="invalid_api_key"))
        base = {"OPENAI_BASE_URL": model.url, "DEFAULT_MODEL": "openai:test"}
        ended = await machine.agent(
            "chat", lines=b"hello\n\xff\xfe\nagain\n", settings=base
        )
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (
        1,
        "Hello Ada.\n",
        2,
    ), ended.err


async def test_a_reader_that_leaves_ends_it_quietly(machine: Machine) -> None:
    """As in `agent chat | head -1`: no traceback, exit status 1."""
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        AGENT,
        "chat",
        stdin=PIPE,
        stdout=write,
        stderr=PIPE,
        cwd=machine.folder,
        env=machine.environment,
    )
    os.close(write)
    async with asyncio.timeout(DEADLINE):
        _, err = await process.communicate(b"one\ntwo\n")
    assert (process.returncode, err) == (1, b"")


async def test_nothing_is_asked_where_nobody_can_answer(machine: Machine) -> None:
    """Standard input closed or empty: no line, no answer, all is well."""
    process = await asyncio.create_subprocess_exec(
        AGENT,
        "chat",
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=machine.folder,
        env=machine.environment,
    )
    async with asyncio.timeout(DEADLINE):
        assert await process.communicate() == (b"", b"")
    assert process.returncode == 0


async def test_serving_needs_a_token(machine: Machine) -> None:
    """Else one sentence says which, with exit status 2."""
    ended = await machine.agent("serve")
    assert (ended.status, ended.out) == (2, "")
    assert "TELEGRAM_TOKEN" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("nosuch",),
            "agent: No such command 'nosuch'. `agent -h` shows what is possible.\n",
        ),
        (
            ("chat", "--nosuch"),
            "agent: No such option: --nosuch. `agent chat -h` shows what is possible.\n",
        ),
        (
            ("flags", "get"),
            "agent: Missing argument 'name'. `agent flags get -h` shows what is possible.\n",
        ),
    ],
)
async def test_wrong_usage_is_one_sentence(
    bare: Machine, words: tuple[str, ...], sentence: str
) -> None:
    """With exit status 2."""
    assert Ended(2, "", sentence) == await bare.agent(*words)


async def test_a_group_of_commands_shows_what_is_in_it(bare: Machine) -> None:
    ended = await bare.agent("budgets")
    assert (2, "") == (ended.status, ended.out)
    assert "Show all budgets" in ended.err


async def test_the_shell_completes_commands_and_names(bare: Machine) -> None:
    """Without a store: what the code knows."""

    async def completed(*words: str) -> list[str]:
        asked = {
            "_AGENT_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        return (await bare.agent(settings=asked)).out.split()

    assert ["experiments", "export"] == await completed("agent", "exp")
    assert ["start", "stop"] == await completed("agent", "experiments", "st")
    assert ["streaming", "system_prompt"] == await completed(
        "agent", "experiments", "create", "x", "--flag", "s"
    )
    assert ["discord"] == await completed("agent", "budgets", "set", "channel", "d")
    assert ["telegram", "terminal"] == await completed(
        "agent", "flags", "unset", "replies", "--channel", "te"
    )
    assert (
        "_agent_completion"
        in (
            await bare.agent("--show-completion", settings={"SHELL": "/bin/bash"})
        ).out
    )
