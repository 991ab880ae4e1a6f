"""People who are erased, taken out of the sums of reports and out of the words for searches."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from storage.connecting.connection import Connection
from storage.reports import STATEMENTS


async def hold_sums(connection: Connection) -> bool:
    """Until the end of the transaction nobody sums up hours or reads words.

    False: somebody does at this moment, and what they store is not seen yet.
    """
    return (await connection.execute(STATEMENTS["hold_sums"])).first() is not None


async def forget_people(connection: Connection, accounts: Sequence[UUID]) -> None:
    """What these accounts used stays counted, for nobody.

    Before their rows in `users` go, and once no message names them.
    """
    values = {"accounts": list(accounts)}
    await connection.execute(STATEMENTS["forget_people_in_reports"], values)


async def forget_words(
    connection: Connection,
    *,
    accounts: Sequence[UUID] = (),
    conversations: Sequence[UUID] = (),
) -> None:
    """These accounts' messages are not found any more, nor what changed in these conversations."""
    people = {"accounts": list(accounts)}
    await connection.execute(STATEMENTS["forget_words_of_people"], people)
    places = {"conversations": list(conversations)}
    await connection.execute(STATEMENTS["forget_words_that_changed"], places)
