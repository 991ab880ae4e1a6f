"""`agent search …`: an operator looks through what was said. Each search is audited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from agent.cli.options import As, Json, Reason, author, operating
from agent.cli.output import show_json, tell
from agent.cli.reports import options as o
from agent.cli.run import WELL, run

if TYPE_CHECKING:
    from agent.core.words.search import Found
    from agent.settings import Settings

Words = Annotated[
    list[str],
    typer.Argument(
        help='Words, "phrases", -words and beginnings*. All must be there.'
    ),
]
From = Annotated[
    str | None, typer.Option("--since", help="A moment such as 2026-03-01T14:00.")
]


def search(
    words: Words,
    person: o.Person = None,
    channel: o.Channel = None,
    since: From = None,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Find what people and the agent said, best matches first.

    Only operators may. The audit log keeps who searched, where and why, and how much was found;
    not for what. After `--`, words may begin with a minus.
    """

    async def work(settings: Settings) -> int:
        from agent.core.words.search import parse_query
        from storage.control.targets import RuleTarget, moment
        from storage.conversation.operating.search import search_audited

        query = parse_query(" ".join(words))
        begin = moment(since) if since else None
        by = author(settings, as_, reason)
        target = RuleTarget(person=person, channel=channel)
        async with operating(settings) as (stores, _):
            found = await search_audited(
                stores.database, by, query, target, since=begin
            )
        _show(found, as_json=as_json)

        return WELL

    run(work)


def _show(found: Sequence[Found], *, as_json: bool) -> None:
    if as_json:
        show_json([{**asdict(hit), "at": hit.at.isoformat()} for hit in found])
        return

    if not found:
        typer.echo("Nothing was found.")
    for hit in found:
        who = "agent" if hit.role == "assistant" else hit.author or "person"
        link = f" ({hit.link})" if hit.link else ""
        at = f"{hit.at.astimezone():%Y-%m-%d %H:%M}"
        tell(f"{at} {hit.channel} {who}: {hit.text}{link}")
