"""One small file for each design that is measured: `open_contender(stores)` yields its turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module

Turn = Callable[[str, str], Awaitable[None]]
"""A person says something in a chat. Returns once the chat has its answer."""


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """The stores that all contenders share."""

    postgres: str
    redis: str
    postgres_socket: str
    """The folder of Postgres's socket, for drivers that read no query in a URL."""
    redis_socket: str


@dataclass(frozen=True, slots=True)
class Contender:
    """A design, and where its file is."""

    name: str
    meaning: str
    module: str
    is_peer: bool = False
    """Somebody else's project: it reads and writes history, and nothing else."""

    def open(self, stores: StoreUrls) -> AbstractAsyncContextManager[Turn]:
        """Raises ImportError where `peers.txt` is not installed."""
        module = import_module(f"{__name__}.{self.module}")
        opened: AbstractAsyncContextManager[Turn] = module.open_contender(stores)

        return opened


CONTENDERS = (
    Contender("floor", "group commit and pipelined Redis, nothing else", "floor"),
    Contender("ours", "all that is promised, through Engine.accept", "ours"),
    Contender("asyncpg", "a statement a turn, by hand", "by_hand"),
    Contender("core", "SQLAlchemy Core, redis-py", "sqlalchemy_core"),
    Contender("orm", "SQLAlchemy ORM, redis-py", "sqlalchemy_orm"),
    Contender("langgraph", "AsyncPostgresSaver", "langgraph", is_peer=True),
    Contender("openai-agents", "SQLAlchemySession", "openai_agents", is_peer=True),
    Contender("agno", "AsyncPostgresDb", "agno", is_peer=True),
    Contender("langchain", "PostgresChatMessageHistory", "langchain", is_peer=True),
)
"""`floor` and `ours` first: all others are compared with them."""

WINDOW = 20
"""Messages that every contender gives to the model."""


def answer_to(question: str) -> str:
    """What the model says, at once: no contender waits for a model."""
    return f"re: {question}"
