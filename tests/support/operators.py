"""An operator in a test: the same functions that the command line calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.core.errors import UnknownModel
from storage.control.audit import Author
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.engine_harness import Script

ADA = Author("ada", "a test", "because")
BOB = Author("bob", "another test")
EVERYBODY = RuleTarget()
UNKNOWN_MODEL = "nobody:knows"


class OperatorModels(Script):
    """Knows every model but one."""

    def check(self, model: str) -> None:
        if model == UNKNOWN_MODEL:
            raise UnknownModel("There are test:model and test:other.")


@asynccontextmanager
async def operator(database_url: str, redis_url: str) -> AsyncIterator[FlagAdmin]:
    """An operator's process: connections of its own."""
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield FlagAdmin(database, pipe, ValueCheck(OperatorModels(), window=150))


@asynccontextmanager
async def experimenter(
    database_url: str, redis_url: str
) -> AsyncIterator[ExperimentAdmin]:
    """The same for experiments."""
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield ExperimentAdmin(
            database, pipe, ValueCheck(OperatorModels(), window=150)
        )
