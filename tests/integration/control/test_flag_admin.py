"""What an operator does with flags: each change is whole, logged, and can be taken back; each
mistake is refused.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from agent.control.flags import DECLARED, SWITCHED_OFF, new_flag
from agent.core.errors import Conflict, Rejected
from storage.control import audit, changes, redis_copy
from storage.control.audit import Author
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget, moment
from storage.postgres import connect, open_database
from tests.support.control import prepared, untouched
from tests.support.operators import ADA, BOB, EVERYBODY, UNKNOWN_MODEL, operator
from tests.support.servers import Postgres

DISCORD = RuleTarget(channel="discord")


@pytest.fixture
async def people(database_url: str) -> dict[str, str]:
    """Ada has two accounts, Bob one: account -> person."""
    ada, bob = str(uuid7()), str(uuid7())
    found = {"discord:1": ada, "slack:U1": ada, "discord:2": bob}
    connection = await connect(database_url)

    for account, person in found.items():
        await connection.execute(
            "INSERT INTO users (id, person_id, channel_type, channel_user_id) "
            "VALUES (gen_random_uuid(), $1, $2, $3)",
            person,
            *account.split(":"),
        )

    await connection.close()

    return found


async def value(
    flags: FlagAdmin,
    name: str = "replies",
    target: RuleTarget = EVERYBODY,
) -> Any:
    return (await flags.explain(name, target)).decided.value


async def test_all_declared_flags_are_listed(flags: FlagAdmin) -> None:
    assert sorted(DECLARED) == [view.flag.name for view in await flags.all()]


async def test_a_change_is_logged_with_who_when_why_and_from_where(
    flags: FlagAdmin,
) -> None:
    before = datetime.now(UTC)
    changed = await flags.set("replies", EVERYBODY, False, ADA)
    [entry] = await flags.history("replies")

    assert (
        "ada",
        "flag.set",
        "flag:replies",
        {},
        {"global": False},
        "because",
        "a test",
        changed.epoch,
    ) == (
        entry.actor,
        entry.action,
        entry.subject,
        entry.before,
        entry.after,
        entry.reason,
        entry.origin,
        entry.epoch,
    )
    assert before <= entry.at <= datetime.now(UTC)
    assert ({"global": False}, changed.version) == (
        (view := await flags.get("replies")).rules,
        view.version,
    )


async def test_a_change_that_is_committed_is_never_said_not_to_be(
    own_postgres: Postgres,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Postgres may be away when the change is announced; instances learn of it from the epoch."""
    url = await prepared(own_postgres)

    async def announce(*stores: Any) -> None:
        own_postgres.kill()
        await redis_copy.announce(*stores)

    monkeypatch.setattr(changes, "announce", announce)

    async with operator(url, redis_url) as flags:
        await flags.set("replies", EVERYBODY, False, ADA)
        own_postgres.start()

        assert {"global": False} == (await flags.get("replies")).rules


async def test_what_is_so_already_is_no_change(
    flags: FlagAdmin,
    database_url: str,
) -> None:
    await flags.set("replies", EVERYBODY, False, ADA)
    found = await untouched(database_url)

    assert None is (await flags.set("replies", EVERYBODY, False, BOB)).epoch
    assert None is (await flags.unset("replies", DISCORD, BOB)).epoch
    assert found == await untouched(database_url)


async def test_one_is_not_true(flags: FlagAdmin) -> None:
    """To Python they are equal, in JSON they are not: changing one into the other is a
    change, also when undone.
    """
    await flags.create(new_flag("shape", "json", "A JSON value."), {}, ADA)
    made = await flags.set("shape", EVERYBODY, {"on": [1]}, ADA)
    changed = await flags.set("shape", EVERYBODY, {"on": [True]}, BOB)

    assert ({"global": {"on": [1]}}, {"global": {"on": [True]}}) == (
        changed.before,
        changed.after,
    )
    assert '{"on": [true]}' == json.dumps(await value(flags, "shape"))

    with pytest.raises(Conflict, match="was overwritten by a later change"):
        await flags.undo("shape", ADA, entry=made.version)

    await flags.undo("shape", ADA)

    assert '{"on": [1]}' == json.dumps(await value(flags, "shape"))


@pytest.mark.parametrize(
    ("kind", "value"), [("json", {"long": 1, "a": [2.0, None]}), ("float", 1e16)]
)
async def test_what_postgres_writes_otherwise_is_no_change(
    flags: FlagAdmin,
    kind: str,
    value: object,
) -> None:
    """It reorders names, and writes large numbers without their exponent."""
    await flags.create(
        new_flag("shape", kind, "A value."), {} if kind == "json" else 0.5, ADA
    )
    changes = [await flags.set("shape", EVERYBODY, value, ADA) for _ in range(2)]

    assert [3, None] == [change.epoch for change in changes]


async def test_the_narrowest_rule_decides(
    flags: FlagAdmin,
    people: dict[str, str],
) -> None:
    """Each rule set over the others decides until it is removed, down to the default."""
    ada = RuleTarget("discord:1", "discord", "town")
    order = [
        RuleTarget(),
        RuleTarget(percentage=100),
        DISCORD,
        RuleTarget(channel="discord", chat="town"),
        RuleTarget(person="discord:1"),
        RuleTarget(kill=True),
    ]

    for number, target in enumerate(order):
        await flags.set("maintenance_message", target, str(number), ADA)
        assert str(number) == await value(flags, "maintenance_message", ada)

    for number, target in reversed(list(enumerate(order))):
        await flags.unset("maintenance_message", target, ADA)
        assert (str(number - 1) if number else SWITCHED_OFF) == await value(
            flags, "maintenance_message", ada
        )


async def test_a_person_is_one_on_all_accounts(
    flags: FlagAdmin,
    people: dict[str, str],
) -> None:
    """Set for one account, in force for the other; named by the person's id, the same."""
    await flags.set("replies", RuleTarget(person="discord:1"), False, ADA)
    asked = ["discord:1", "slack:U1", people["discord:1"], "discord:2"]

    assert [False, False, False, True] == [
        await value(flags, "replies", RuleTarget(person=one)) for one in asked
    ]


async def test_a_share_keeps_its_salt_while_it_grows(flags: FlagAdmin) -> None:
    await flags.set("replies", RuleTarget(percentage=1, salt="autumn"), False, ADA)
    await flags.set("replies", RuleTarget(percentage=50), False, ADA)

    assert {"share": 50.0, "salt": "autumn", "value": False} == (
        await flags.get("replies")
    ).rules["percentage"]


WRONG: list[tuple[str, RuleTarget, Any, str]] = [
    ("replies", EVERYBODY, "maybe", "replies takes true or false."),
    ("replies", EVERYBODY, None, "replies takes true or false."),
    ("max_conversation_length", EVERYBODY, 0, "takes a whole number from 1 to 200."),
    ("max_conversation_length", EVERYBODY, 151, "WINDOW_MESSAGES, which is 150:"),
    ("overlap", EVERYBODY, "drop", "overlap takes merge, queue or interrupt."),
    (
        "nobody_knows",
        EVERYBODY,
        True,
        "There is no flag nobody_knows. There are: answer_tokens, buttons, default_model, ",
    ),
    (
        "replies",
        RuleTarget(channel="irc"),
        True,
        "There are: discord, slack, telegram, terminal.",
    ),
    (
        "replies",
        RuleTarget(person="discord:99"),
        True,
        "No such person has sent a message.",
    ),
    (
        "replies",
        RuleTarget(person=str(uuid7())),
        True,
        "No such person has sent a message.",
    ),
    (
        "replies",
        RuleTarget(person="a\0b"),
        True,
        "No such person has sent a message.",
    ),
    ("replies", RuleTarget(percentage=140), True, "A percentage is from 0 to 100"),
    ("replies", RuleTarget(percentage=-1), True, "A percentage is from 0 to 100"),
    ("replies", RuleTarget(percentage=10, salt=""), True, "A salt has 1 to 100"),
    ("replies", RuleTarget(salt="alone"), True, "A salt goes with a percentage."),
    ("replies", RuleTarget(chat="town"), True, "A chat is named with its channel."),
    (
        "replies",
        RuleTarget(channel="discord", kill=True),
        True,
        "A rule has one scope",
    ),
    (
        "default_model",
        EVERYBODY,
        UNKNOWN_MODEL,
        "There are test:model and test:other.",
    ),
]


@pytest.mark.parametrize(("name", "target", "wrong", "sentence"), WRONG)
async def test_what_is_not_possible_is_refused_with_what_is(
    flags: FlagAdmin,
    database_url: str,
    name: str,
    target: RuleTarget,
    wrong: Any,
    sentence: str,
) -> None:
    """Nothing is half written, and the audit log is as it was."""
    await flags.set("streaming", EVERYBODY, False, ADA)
    found = await untouched(database_url)

    with pytest.raises(Rejected) as refused:
        await flags.set(name, target, wrong, BOB)

    assert sentence in refused.value.sentence
    assert found == await untouched(database_url)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb"])
def test_an_operator_has_a_name(name: str) -> None:
    with pytest.raises(Rejected, match="An operator's name"):
        Author(name, "a test")


async def test_the_second_of_two_operators_hears_what_the_first_did(
    flags: FlagAdmin,
) -> None:
    """Both saw version 0; the second's change is not made, and names the first's. After
    looking again it is.
    """
    await flags.set("replies", EVERYBODY, False, ADA, expected=0)

    with pytest.raises(Conflict) as conflict:
        await flags.set("replies", EVERYBODY, True, BOB, expected=0)

    assert (
        "replies was changed meanwhile (ada: global unset → false). Look at it and say again."
        == conflict.value.sentence
    )
    assert not await value(flags)

    seen = (await flags.get("replies")).version
    await flags.set("replies", EVERYBODY, True, BOB, expected=seen)

    assert await value(flags)


async def test_operators_at_once_change_one_after_the_other(
    flags: FlagAdmin,
    database_url: str,
) -> None:
    """Of 20 operators at the same version one succeeds; of 20 with flags of their own all
    do, each with its epoch.
    """
    same = [
        flags.set("overlap", EVERYBODY, "queue", Author(f"o{n}", "x"), expected=0)
        for n in range(20)
    ]
    outcomes = await asyncio.gather(*same, return_exceptions=True)

    assert [19, 1] == [
        sum(isinstance(o, Conflict) for o in outcomes),
        sum(not isinstance(o, Conflict) for o in outcomes),
    ]

    own = [
        flags.set("replies", RuleTarget(channel="discord", chat=str(n)), False, ADA)
        for n in range(20)
    ]
    changes = await asyncio.gather(*own)

    assert list(range(3, 23)) == sorted(change.epoch or 0 for change in changes)
    assert (21, 21, 22) == await untouched(database_url)


async def test_undo_brings_back_what_was_before(flags: FlagAdmin) -> None:
    await flags.set("overlap", EVERYBODY, "queue", ADA)
    await flags.set("overlap", EVERYBODY, "merge", BOB)
    await flags.undo("overlap", ADA)

    assert "queue" == await value(flags, "overlap")

    await flags.undo("overlap", ADA)

    assert "merge" == await value(flags, "overlap")
    assert ["flag.undo", "flag.undo", "flag.set", "flag.set"] == [
        e.action for e in await flags.history("overlap")
    ]


async def test_an_older_change_is_undone_alone(flags: FlagAdmin) -> None:
    """What others set since, for other people, stays; what was changed again since is refused."""
    first = await flags.set("replies", DISCORD, False, ADA)
    await flags.set("replies", EVERYBODY, False, BOB)
    await flags.undo("replies", ADA, entry=first.version)

    assert {"global": False} == (await flags.get("replies")).rules

    with pytest.raises(Conflict, match="was overwritten by a later change"):
        await flags.undo("replies", ADA, entry=first.version)

    with pytest.raises(Rejected, match="There is no such change"):
        await flags.undo("replies", ADA, entry=999)


async def test_nothing_to_undo_is_said(flags: FlagAdmin) -> None:
    with pytest.raises(Rejected, match="There is no such change of replies"):
        await flags.undo("replies", ADA)


async def test_the_past_is_explained_as_it_was(flags: FlagAdmin) -> None:
    """Between any two changes the rule of that moment decides, also where it was removed since."""
    moments = [datetime.now(UTC)]
    await flags.set("overlap", EVERYBODY, "queue", ADA)
    moments.append(datetime.now(UTC))
    await flags.set("overlap", DISCORD, "interrupt", ADA)
    moments.append(datetime.now(UTC))
    await flags.unset("overlap", DISCORD, ADA)
    await flags.unset("overlap", EVERYBODY, ADA)
    found = [(await flags.explain("overlap", DISCORD, at)).decided for at in moments]

    assert [("default", None), ("global", "queue"), ("channel", "interrupt")] == [
        (s.rule, s.value) for s in found
    ]


async def test_the_future_is_not_explained(flags: FlagAdmin) -> None:
    with pytest.raises(Rejected, match="is in the future"):
        await flags.explain(
            "overlap", EVERYBODY, datetime.now(UTC) + timedelta(hours=1)
        )


@pytest.mark.parametrize(
    "typed", ["", "yesterday", "2026-13-01", "0001-01-01T00:00+14:00"]
)
def test_a_moment_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(Rejected, match="A moment looks like"):
        moment(typed)


async def test_a_flag_made_by_an_operator_is_like_any_other(flags: FlagAdmin) -> None:
    """Made, set, explained, removed with its rules, and brought back by undo."""
    flag = new_flag("new_look", "string", "How it looks.")
    await flags.create(flag, "plain", ADA)
    await flags.set("new_look", DISCORD, "bright", ADA)

    assert ("plain", "bright") == (
        await value(flags, "new_look"),
        await value(flags, "new_look", DISCORD),
    )

    with pytest.raises(Rejected, match="There already is a flag new_look"):
        await flags.create(flag, "plain", BOB)

    await flags.remove("new_look", ADA)

    with pytest.raises(Rejected, match="There is no flag new_look"):
        await flags.get("new_look")

    await flags.undo("new_look", ADA)

    assert "bright" == await value(flags, "new_look", DISCORD)


@pytest.mark.parametrize(
    "odd",
    [{"kind": "bool"}, ["bool"], {"type": "int", "default": "x", "meaning": "…"}, 3],
)
async def test_a_flag_that_cannot_be_read_hides_no_other(
    flags: FlagAdmin,
    database_url: str,
    odd: Any,
) -> None:
    """Written by hand or by another version: it is not listed, and naming it says why."""
    connection = await connect(database_url)
    await connection.execute(
        "INSERT INTO feature_flags VALUES ('definition', 'odd', $1)", json.dumps(odd)
    )
    await connection.close()

    assert sorted(DECLARED) == [view.flag.name for view in await flags.all()]
    assert "replies" == (await flags.get("replies")).flag.name

    for asked in (
        flags.get("odd"),
        flags.explain("odd", EVERYBODY),
        flags.set("odd", EVERYBODY, 3, ADA),
    ):
        with pytest.raises(
            Rejected,
            match="The flag odd is of another version, or was written by hand",
        ):
            await asked


async def test_a_declared_flag_is_not_removed(flags: FlagAdmin) -> None:
    with pytest.raises(Rejected, match="is declared in the code and stays"):
        await flags.remove("replies", ADA)


async def test_creating_is_not_undone_while_rules_stand(flags: FlagAdmin) -> None:
    """A rule of a flag that nobody knows could never be seen again."""
    made = await flags.create(
        new_flag("new_look", "bool", "How it looks."), False, ADA
    )
    await flags.set("new_look", EVERYBODY, True, ADA)
    with pytest.raises(Rejected, match="still has rules"):
        await flags.undo("new_look", ADA, entry=made.version)


async def test_a_list_says_on_how_many_instances_it_is_applied(
    flags: FlagAdmin,
    database_url: str,
) -> None:
    """Of three instances one is dead, one applies the change already, and one is an epoch
    behind.
    """
    changed = await flags.set("replies", EVERYBODY, False, ADA)
    connection = await connect(database_url)
    await connection.executemany(
        "INSERT INTO instances (id, host, pid, channels, epoch, seen_at)"
        " VALUES (gen_random_uuid(), 'h', 1, '{}', $1, now() - make_interval(secs => $2::float8))",
        [(changed.epoch, 0.0), (1, 0.0), (9, 60.0)],
    )
    await connection.close()
    views = {
        view.flag.name: (view.applied, view.instances) for view in await flags.all()
    }

    assert ((1, 2), (2, 2)) == (views["replies"], views["streaming"])


async def test_every_change_is_in_the_chain(
    flags: FlagAdmin,
    database_url: str,
) -> None:
    await flags.set("replies", EVERYBODY, False, ADA)
    await flags.undo("replies", BOB)

    async with open_database(database_url) as database:
        verdict = await audit.verify(database)

    assert (2, ()) == (verdict.count, verdict.troubles)
