"""One turn id runs through every line that a turn's work logs, and no line says what people
wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import asyncpg
import pytest
import structlog
from pydantic import SecretStr

from agent.conversation.delivery import sending
from agent.core.completion import Prompt
from agent.core.messages import Address, Placed
from agent.logs import OURS, configure_logging
from agent.operations.credentials import with_stored_credentials
from agent.settings import Settings
from storage.connecting.batch import Batch
from storage.control.channels import ChannelAdmin
from storage.control.credentials import Secrets, new_key
from storage.postgres import open_database
from storage.redis import open_redis
from storage.transaction import transaction
from tests.support.engine_harness import (
    EngineHarness,
    Platform,
    PlatformChannel,
    PlatformReply,
)
from tests.support.settings import OPERATOR

SECRET = "my-diary-entry"

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Everything logged so far, at debug, as JSON; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    levels = {name: logging.getLogger(name).level for name in (*OURS, "")}
    configure_logging(Settings(log_level="debug", log_format="json"))
    written: list[dict[str, object]] = []

    def read() -> list[dict[str, object]]:
        written.extend(
            json.loads(line) for line in capsys.readouterr().err.splitlines()
        )

        return written

    yield read
    root.handlers[:] = handlers

    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


def of_turn(lines: list[dict[str, object]], turn: UUID) -> list[object]:
    return [line["event"] for line in lines if line.get("turn") == str(turn)]


async def test_the_lines_of_a_turn_can_be_followed(
    world: EngineHarness, lines: Lines
) -> None:
    """From its message to its answer's arrival; concurrent turns can be told apart."""
    ada = world.message(SECRET, chat="ada")
    bob = world.message(SECRET, chat="bob")

    async with world.instance() as agent:
        await agent.engine.accept(ada)
        await agent.engine.accept(bob)
        await agent.engine.accept(ada)
        await world.platform.until(lambda: len(world.platform.finished) == 2)

    found = lines()

    assert sorted(map(str, of_turn(found, ada.turn_id))) == [
        "accepted",
        "answered",
        "delivered",
        "duplicate",
    ]
    assert of_turn(found, bob.turn_id) == ["accepted", "answered", "delivered"]


async def test_a_turn_that_goes_well_is_one_line(
    world: EngineHarness, lines: Lines
) -> None:
    """Four of them, at `info`, would be a third of the turn's own work."""
    configure_logging(Settings(log_level="info", log_format="json"))
    message = world.message(SECRET)

    async with world.instance() as agent:
        await agent.engine.accept(message)
        await world.platform.until(lambda: len(world.platform.finished) == 1)

    assert ["delivered"] == of_turn(lines(), message.turn_id)


async def test_messages_answered_together_name_the_turn_that_leads(
    world: EngineHarness, lines: Lines
) -> None:
    """Its lines are theirs: one line says which."""
    async with world.instance() as agent:
        world.model.hold()
        await agent.engine.accept(world.message("one"))
        await world.model.started.wait()
        second = world.message("two")
        third = world.message("three")
        await agent.engine.accept(second)
        await agent.engine.accept(third)
        world.model.release()
        await world.platform.until(
            lambda: world.platform.finished[second.turn_id] > 0
        )

    found = lines()
    together = [line for line in found if line["event"] == "answering together"]

    assert [line["turns"] for line in together] == [
        [str(second.turn_id), str(third.turn_id)]
    ]
    assert of_turn(found, third.turn_id) == [
        "accepted",
        "answering together",
        "answered",
        "delivered",
    ]


async def test_whatever_fails_is_logged_with_its_turn_and_without_its_text(
    world: EngineHarness, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Including lines and tracebacks of libraries, at debug: no message text, no line without
    a turn.
    """

    class Clumsy(PlatformReply):
        async def finish(self, text: str) -> Placed:
            logging.getLogger("some.library").warning("sending")
            raise RuntimeError("a fault")  # `text` is a local variable here

    def reply(
        self: PlatformChannel,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> PlatformReply:
        return Clumsy(Platform(), address, placed, turns[0], streams=False)

    monkeypatch.setattr(PlatformChannel, "reply", reply)
    monkeypatch.setattr(sending, "FIRST_PAUSE", 60.0)
    message = world.message(SECRET)

    async with world.instance() as agent:
        await agent.engine.accept(message)
        await agent.engine.stop()

    found = lines()

    assert of_turn(found, message.turn_id) == [
        "accepted",
        "answered",
        "sending",
        "not delivered yet",
    ]
    assert "RuntimeError: a fault" in str(found[-1]["exception"])
    assert [line for line in found if SECRET in json.dumps(line)] == []
    assert [line["event"] for line in found if "turn" not in line] == []


async def test_what_the_model_was_told_is_not_logged(
    world: EngineHarness, lines: Lines
) -> None:
    """An error inside the model's client has prompt and answer in its frames."""

    def fail(prompt: Prompt) -> str:
        raise ValueError("a fault")

    world.model.said = fail
    message = world.message(SECRET)

    async with world.instance() as agent:
        await agent.engine.accept(message)
        await agent.engine.stop()

    found = lines()

    assert "ValueError: a fault" in json.dumps(found)
    assert [line for line in found if SECRET in json.dumps(line)] == []


async def test_a_token_of_the_database_is_in_no_line(
    world: EngineHarness, lines: Lines
) -> None:
    """It becomes known after logging began."""
    key = new_key()
    async with (
        open_database(world.database_url) as database,
        open_redis(world.redis_url) as pipe,
    ):
        desk = ChannelAdmin(database, pipe, lambda model: None)
        await desk.set_credential(
            "telegram", "token", "123456:AAtoken", OPERATOR, Secrets([key])
        )

    await with_stored_credentials(
        Settings(
            _env_file=None,
            database_url=SecretStr(world.database_url),
            encryption_keys=[SecretStr(key)],
        )
    )
    logging.getLogger("some.library").warning("GET /bot123456:AAtoken/getMe")

    assert ["GET /bot***/getMe"] == [line["event"] for line in lines()]


async def test_shared_work_belongs_to_no_turn() -> None:
    """A statement for many turns is not logged as the first one's."""
    logged: list[object] = []

    async def run(items: Sequence[int]) -> list[None]:
        logged.append(structlog.contextvars.get_contextvars())
        return [None]

    with structlog.contextvars.bound_contextvars(turn="t1"):
        await Batch(run).submit(1)

    assert logged == [{}]


async def test_an_error_of_sql_does_not_repeat_what_people_said(
    world: EngineHarness,
) -> None:
    """Errors are logged, and the driver's would show the values of the statement."""
    async with (
        open_database(world.database_url) as database,
        transaction(database) as connection,
    ):
        with pytest.raises(asyncpg.PostgresError) as raised:
            await connection.execute("SELECT :said FROM nowhere", {"said": SECRET})

    assert SECRET not in str(raised.value)
