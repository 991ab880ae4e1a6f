"""Times of reports: days and full hours of UTC, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agent.core.errors import Rejected

DAYS = timedelta(days=30)
HOUR = timedelta(hours=1)
FIRST = datetime.min.replace(tzinfo=UTC)


def parsed(typed: str | None) -> datetime | None:
    """A day or a full hour, of UTC if it names no time zone. Raises Rejected."""
    if typed is None:
        return None

    try:
        moment = datetime.fromisoformat(typed)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        raise Rejected(
            "A time looks like 2026-03-01 or 2026-03-01T14:00, in UTC if it names no zone."
        ) from None
    if moment != full_hour(moment):
        raise Rejected("Reports are kept by hour. Name a full hour of UTC.")

    return moment


def period(
    now: datetime, since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime]:
    """From when and until when: by default the last 30 days, with the hour that runs."""
    end = until or full_hour(now) + HOUR
    last = min(end, now)
    begin = since or _day(last - min(DAYS, last - FIRST))

    return begin, end


def full_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> datetime:
    return full_hour(moment).replace(hour=0)
