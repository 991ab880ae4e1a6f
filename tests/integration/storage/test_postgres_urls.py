"""URLs as hosters hand them out, tried on a server with TLS and passwords; what a server
lacks is said at the start.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from agent.core.errors import ConfigurationError
from storage.connecting.requirements import check_connection
from storage.postgres import connect
from tests.support.certificates import certificate
from tests.support.servers import Postgres, free_port, running
from tests.support.tls_front import Front, tls_front

PASSWORD = "p@s/s:w%rd#?"
WRITTEN = quote(PASSWORD, safe="")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A Postgres that wants passwords over TCP, with a role, a database, and certificates
    in its folder.
    """
    signed = certificate("localhost", "127.0.0.1", "::1")
    server = Postgres(listen_addresses="127.0.0.1", port=str(free_port()))
    server.give(
        "data/pg_hba.conf", "local all all trust\nhost all all all scram-sha-256\n"
    )
    for name, content in (
        ("crt", signed.certificate),
        ("key", signed.key),
        ("ca", signed.ca),
    ):
        server.give(name, content)
    with running(server):
        asyncio.run(server.execute(f"CREATE ROLE ada LOGIN PASSWORD '{PASSWORD}'"))
        asyncio.run(server.execute('CREATE DATABASE "my db" OWNER ada'))
        yield server


@dataclass(frozen=True)
class Secure:
    """That server behind TLS, on both loopback addresses."""

    server: Postgres
    front: Front

    def filled(self, url: str) -> str:
        """The URL with this server's values in it."""
        folder = self.server.folder
        values = {
            "PORT": str(self.front.port),
            "PW": WRITTEN,
            "CA": str(folder / "ca"),
            "SOCKET": f"{quote(str(folder))}&port={self.server.port}",
        }
        for name, value in values.items():
            url = url.replace(f"<{name}>", value)
        return url


@pytest.fixture
async def secure(server: Postgres) -> AsyncIterator[Secure]:
    async with tls_front(
        server.port, server.folder / "crt", server.folder / "key"
    ) as front:
        yield Secure(server, front)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db",
        "postgres://ada:<PW>@localhost:<PORT>/my%20db",
        "postgresql+asyncpg://ada:<PW>@127.0.0.1:<PORT>/my%20db",
        "postgresql://ada:<PW>@[::1]:<PORT>/my%20db",
        "postgresql://127.0.0.1/?user=ada&password=<PW>&dbname=my%20db&port=<PORT>",
        "postgresql://ada@/my%20db?host=<SOCKET>",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslmode=require&channel_binding=require",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?connect_timeout=10&application_name=x",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?options=-c%20statement_timeout%3D5s",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslmode=disable",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslmode=allow",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslmode=prefer",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslmode=verify-ca&sslrootcert=<CA>",
        "postgresql://ada:<PW>@localhost:<PORT>/my%20db?sslmode=verify-full&sslrootcert=<CA>",
        "postgresql://ada:<PW>@127.0.0.1:1,127.0.0.1:<PORT>/my%20db",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>,[::1]:<PORT>/my%20db"
        "?target_session_attrs=read-write",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?target_session_attrs=prefer-standby",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?pooled=true",
        "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?keepalives=1&keepalives_idle=30",
    ],
)
async def test_a_legal_url_connects(secure: Secure, url: str) -> None:
    found = await check_connection(secure.filled(url))
    assert found.may_create


async def test_a_server_that_hangs_up_at_once_does_not_hide_the_next(
    secure: Secure,
) -> None:
    """As a load balancer does that has no server behind it."""

    async def hang_up(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(65_536)
        writer.close()

    empty = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = empty.sockets[0].getsockname()[1]
    both = f"127.0.0.1:{port},127.0.0.1:<PORT>"
    url = f"postgresql://ada:<PW>@{both}/my%20db?sslmode=disable"
    async with empty:
        await check_connection(secure.filled(url))


@pytest.mark.parametrize(
    "parameters",
    [
        "sslmode=verify-full",
        "sslrootcert=system",
        "sslmode=require&sslmode=verify-full",
    ],
)
async def test_without_a_file_of_roots_the_systems_are_asked(
    secure: Secure, monkeypatch: pytest.MonkeyPatch, parameters: str
) -> None:
    """They know the server's CA once the system is told."""
    url = secure.filled(
        f"postgresql://ada:<PW>@localhost:<PORT>/my%20db?{parameters}"
    )
    with pytest.raises(
        ConfigurationError, match="certificate of this Postgres is not accepted"
    ) as raised:
        await check_connection(url)
    assert "sslrootcert in DATABASE_URL" in raised.value.sentence
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.server.folder / "ca"))
    assert (await check_connection(url)).may_create


async def test_passwords_come_from_a_file_too(
    secure: Secure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Named in the URL or in the environment."""
    file = tmp_path / "passwords"
    file.write_text(
        f"127.0.0.1:{secure.front.port}:*:ada:{PASSWORD.replace(':', chr(92) + ':')}\n"
    )
    file.chmod(0o600)
    url = secure.filled("postgresql://ada@127.0.0.1:<PORT>/my%20db")
    assert (await check_connection(f"{url}?passfile={file}")).may_create
    monkeypatch.setenv("PGPASSFILE", str(file))
    assert (await check_connection(url)).may_create


async def test_what_a_url_asks_for_is_in_force(secure: Secure) -> None:
    asked = (
        "application_name=shop&options=-c%20statement_timeout%3D5s&sslmode=require"
    )
    connection = await connect(
        secure.filled(f"postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?{asked}")
    )
    row = await connection.fetchrow(
        "SELECT current_setting('application_name') AS name, "
        "current_setting('statement_timeout') AS timeout"
    )
    await connection.close()
    assert (("shop", "5s"), 1) == (tuple(row or ()), secure.front.encrypted)


async def test_a_host_that_is_silent_does_not_keep_the_next_from_being_tried(
    secure: Secure,
) -> None:
    """Each has its own time to answer."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)  # takes the connection and never says a word
        port = silent.getsockname()[1]
        hosts = secure.filled(
            f"postgresql://ada:<PW>@127.0.0.1:{port},127.0.0.1:<PORT>/my%20db"
        )
        assert (await check_connection(f"{hosts}?connect_timeout=1")).may_create


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ada:bad@127.0.0.1:<PORT>/my%20db", "refused user or password"),
        ("postgresql://bob:bad@127.0.0.1:<PORT>/my%20db", "refused user or password"),
        ("postgresql://ada:<PW>@127.0.0.1:<PORT>/none", "database does not exist"),
        ("postgresql://ada:<PW>@127.0.0.1:1/my%20db", "No Postgres answers"),
        (
            "postgresql://ada:<PW>@no-such-host.invalid:1/my%20db",
            "No Postgres answers",
        ),
        ("postgresql://ada@/my%20db?host=/no/such/folder", "No Postgres answers"),
        (
            "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?target_session_attrs=standby",
            "target_session_attrs",
        ),
        (
            "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?options=-c%20nosuch%3D1",
            "options",
        ),
        (
            "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db"
            "?sslrootcert=/dev/null&sslmode=verify-full",
            "sslrootcert",
        ),
        (
            "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?ssl_min_protocol_version=SSLv3",
            "ssl_min_protocol_version",
        ),
        (
            "postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?sslnegotiation=none",
            "sslnegotiation",
        ),
        ("postgresql://ada:<PW>@127.0.0.1:<PORT>/my%20db?nosuch=1", "nosuch"),
    ],
)
async def test_what_does_not_connect_is_one_sentence_with_the_setting(
    secure: Secure, url: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        await check_connection(secure.filled(url), "DATABASE_REPLICA_URL")
    sentence = raised.value.sentence
    assert (
        said in sentence,
        "DATABASE_REPLICA_URL" in sentence,
        WRITTEN in sentence,
    ) == (True, True, False), sentence


async def test_a_server_without_tls_is_said_to_have_none(server: Postgres) -> None:
    with pytest.raises(
        ConfigurationError, match=r"does not speak TLS.* DATABASE_URL"
    ):
        await check_connection(
            f"postgresql://ada:{WRITTEN}@127.0.0.1:{server.port}/my%20db?sslmode=require"
        )


async def test_a_database_that_cannot_hold_every_letter_is_refused(
    secure: Secure,
) -> None:
    await secure.server.execute(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'"
    )
    url = secure.filled("postgresql://ada@/latin?host=<SOCKET>")
    with pytest.raises(
        ConfigurationError, match=r"keeps LATIN1.*ENCODING 'UTF8'.*DATABASE_URL"
    ):
        await check_connection(url)


async def test_a_user_who_may_not_create_is_told_the_statement_that_mends_it(
    secure: Secure,
) -> None:
    """And with it the user may."""
    await secure.server.execute('CREATE ROLE "eve il" LOGIN')
    url = secure.filled("postgresql://eve%20il@/postgres?host=<SOCKET>")
    found = await check_connection(url)
    with pytest.raises(
        ConfigurationError, match='GRANT USAGE, CREATE ON SCHEMA public TO "eve il";'
    ) as raised:
        found.check_may_create()
    await secure.server.execute(raised.value.sentence.partition("run: ")[2])
    assert (await check_connection(url)).may_create


async def test_too_few_connections_are_said_before_they_are_missed(
    secure: Secure,
) -> None:
    """A user's own limit counts, too."""
    await secure.server.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 50")
    found = await check_connection(
        secure.filled("postgresql://few@/postgres?host=<SOCKET>")
    )
    assert (50, None) == (found.room, found.crowded(25, 2))
    assert "50 connections" in (found.crowded(25, 3) or "")
    assert "DATABASE_POOL_SIZE" in (found.crowded(51) or "")


async def test_no_connection_left_is_no_absent_server(secure: Secure) -> None:
    await secure.server.execute("CREATE ROLE full LOGIN CONNECTION LIMIT 1")
    url = secure.filled("postgresql://full@/postgres?host=<SOCKET>")
    connection: asyncpg.Connection[asyncpg.Record] = await connect(url)
    with pytest.raises(
        ConfigurationError, match=r"no connection left.*DATABASE_POOL_SIZE"
    ):
        await check_connection(url)
    await connection.close()
