"""`/usage`: what people used, and what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from agent.control.permissions import Permission
from agent.reports.usage import Line, Subject, Unit
from agent.web.api.protocol.amounts import Dollars
from agent.web.api.protocol.caller import Asking
from agent.web.api.protocol.paging import (
    Page,
    Paging,
    Text,
    moment_of,
    page,
    text,
)
from agent.web.api.protocol.routing import needs, routes
from storage.control.targets import RuleTarget, audience_of
from storage.reports.source import Asked as WantedReport
from storage.reports.source import open_source
from storage.transaction import transaction

router = routes("usage")


class LineOut(BaseModel):
    """What happened in one period, of one model or person if that was asked for."""

    period: datetime | None
    subject: str | None = Field(description="A model, or a person's id.")
    people: int
    messages: int
    answers: int
    failures: int
    estimated: int = Field(description="Replies whose tokens were estimated.")
    unpriced: int = Field(description="Replies of unknown cost, not in cost_usd.")
    prompt_tokens: int
    cached_tokens: int
    tokens: int
    cost_usd: Dollars | None = Field(description="null: not known, which is not 0.")
    thumbs_up: int
    thumbs_down: int


class Wanted(Paging):
    """Which usage. All times are UTC."""

    by: Unit | None = Field(default=None, description="A line for each of these.")
    of: Subject | None = Field(default=None, description="A line for each of these.")
    channel: Text | None = None
    model: Text | None = None
    person: Text | None = Field(default=None, description="channel:id, or an id.")
    since: Text | None = Field(default=None, description="By default 30 days ago.")
    until: Text | None = None


@router.get("/usage")
@needs(Permission.SEE)
async def usage(
    caller: Asking,
    asked: Annotated[Wanted, Query()],
) -> Page[LineOut]:
    services = caller.services
    target = RuleTarget(person=asked.person, channel=asked.channel)
    async with transaction(services.stores.database) as connection:
        audience = await audience_of(connection, target)

    wanted = WantedReport(
        asked.by,
        asked.of,
        audience.channel,
        asked.model,
        audience.person,
        asked.since,
        asked.until,
    )
    last = asked.after(_moment, text)
    database = services.stores.database
    async with open_source(services.settings, database, wanted) as source:
        lines = await source.reader.following(source.scope, last, asked.limit + 1)

    return page(lines, asked, _key, _shown)


def _moment(part: Any) -> datetime | None:
    """Empty: a line of the whole time. Raises ValueError."""
    return moment_of(part) if part else None


def _key(line: Line) -> tuple[str, str]:
    return (line.period.isoformat() if line.period else "", line.subject)


def _shown(line: Line) -> LineOut:
    return LineOut(
        period=line.period,
        subject=line.subject or None,
        people=line.people,
        messages=line.messages,
        answers=line.answers,
        failures=line.failures,
        estimated=line.estimated,
        unpriced=line.unpriced,
        prompt_tokens=line.prompt_tokens,
        cached_tokens=line.cached_tokens,
        tokens=line.tokens,
        cost_usd=line.known_cost,
        thumbs_up=line.thumbs_up,
        thumbs_down=line.thumbs_down,
    )
