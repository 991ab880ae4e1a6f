"""The winner of an experiment becomes what the flag is, in one change."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.control.experiments import Experiment, Variant
from agent.core.errors import Conflict, Rejected
from storage.control import audit
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.experiments.shipping import Shipping
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.control import untouched
from tests.support.operators import ADA, EVERYBODY, OperatorModels


@pytest.fixture
async def shipping(database_url: str, redis_url: str) -> AsyncIterator[Shipping]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield Shipping(database, pipe, ValueCheck(OperatorModels(), window=150))


def trial(*channels: str) -> Experiment:
    return Experiment(
        "quiet",
        "streaming",
        "quiet",
        (Variant("as_is", 1), Variant("quiet", 1, False)),
        frozenset(channels),
    )


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("channels", "rules"),
    [
        ((), {"global": False}),
        (
            ("slack", "discord"),
            {"global": True, "channel:slack": False, "channel:discord": False},
        ),
    ],
)
async def test_the_variant_is_what_the_flag_is_for_those_who_took_part(
    flags: FlagAdmin,
    experiments: ExperimentAdmin,
    shipping: Shipping,
    database_url: str,
    ended: bool,
    channels: tuple[str, ...],
    rules: dict[str, bool],
) -> None:
    """It ends in the same change, if it still runs."""
    await flags.set("streaming", EVERYBODY, True, ADA)
    await experiments.create(trial(*channels), ADA)
    view = await experiments.start("quiet", ADA)
    if ended:
        view = await experiments.stop("quiet", ADA)
    shipped = await shipping.ship("quiet", "quiet", ADA, expected=view.version)

    assert (rules, not ended) == (
        (await flags.get("streaming")).rules,
        shipped.stopped,
    )
    assert "ended" == (await experiments.get("quiet")).stage
    async with open_database(database_url) as database:
        log = await audit.list_entries(database, limit=1 if ended else 2)
    assert "flag.ship" == log[-1].action
    assert 1 == len({entry.epoch for entry in log})
    await flags.undo("streaming", ADA)
    assert {"global": True} == (await flags.get("streaming")).rules


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [
        ("as_is", "as_is has no value"),
        ("loud", "no such variant. It has: as_is, quiet."),
    ],
)
async def test_a_variant_that_cannot_be_shipped_changes_nothing(
    experiments: ExperimentAdmin,
    shipping: Shipping,
    database_url: str,
    variant: str,
    sentence: str,
) -> None:
    await experiments.create(trial(), ADA)
    await experiments.start("quiet", ADA)
    found = await untouched(database_url)

    with pytest.raises(Rejected) as refused:
        await shipping.ship("quiet", variant, ADA)
    assert sentence in refused.value.sentence
    assert found == await untouched(database_url)
    assert "running" == (await experiments.get("quiet")).stage


async def test_a_draft_is_not_shipped_and_a_change_meanwhile_is_told(
    experiments: ExperimentAdmin, shipping: Shipping
) -> None:
    drafted = await experiments.create(trial(), ADA)
    with pytest.raises(Rejected, match="nobody had one of its variants"):
        await shipping.ship("quiet", "quiet", ADA)

    await experiments.start("quiet", ADA)
    with pytest.raises(Conflict):
        await shipping.ship("quiet", "quiet", ADA, expected=drafted.version)
