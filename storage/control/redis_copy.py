"""Flags, channel settings and running experiments in Redis, each hash written whole.

`features:global`, `features:channel:<name>` and `ab_test:<experiment>`.

A hash says at which epoch of which database it is true and how many fields it has. One that
lacks a field, is at another epoch than the rest, or belongs to another database is not
believed. An older one never replaces a newer one.

Fields: `<flag>` has the value for all (or for the channel) as JSON; `<flag>@<scope>` the
narrower rules: `@kill`, `@percentage`, `@person:<id>` and `@definition` in the global hash,
`@chat:<id>` in the channel's. `_settings` of a channel's hash is its row of
channel_configs, without credentials. An experiment's hash has the parts of its definition,
each as JSON. `_channels` and `_experiments` of the global hash name the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from agent.control.rules import GLOBAL
from storage.connecting.redis_connection import Command, mapping
from storage.control import STATEMENTS
from storage.control.state import ControlSnapshot, ordered, stored
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.transaction import transaction

HASH = "features:global"
CHANNEL_HASH = "features:channel:"
EXPERIMENT_HASH = "ab_test:"
NEWS = "features:epoch"
"""The channel on which new epochs are published."""

SECONDS = 86_400
"""How long each hash lives."""

Hash = dict[str, bytes]

_WRITE = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local there = redis.call('HMGET', KEYS[1], '_epoch', '_lineage')
local newer = there[2] == ARGV[2] and tonumber(there[1] or '0') > tonumber(ARGV[1])
if newer and ARGV[3] ~= 'replace' then return 0 end
redis.call('DEL', KEYS[1])
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if #ARGV > 4 then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return 1
"""
"""KEYS: the hash. ARGV: epoch, lineage, `replace` or `keep` a newer one, seconds to live,
fields (none: delete).
"""


async def write(
    pipe: RedisPipe,
    truth: ControlSnapshot,
    *,
    replace_newer: bool = False,
) -> None:
    """Writes every hash, the global one last: a reader of its epoch finds the others there.

    `replace_newer` is for a database that was set back to an earlier state.
    """
    hashes = to_hashes(truth)
    before = await pipe.send(("HMGET", HASH, "_channels", "_experiments"))
    gone = {key: Hash() for key in _keys(before[0] if before else None) or ()}

    mode = "replace" if replace_newer else "keep"
    written = {**gone, **hashes}
    await pipe.send(
        *(_write(key, fields, truth, mode) for key, fields in written.items())
    )


def _write(
    key: str,
    fields: Mapping[str, bytes],
    truth: ControlSnapshot,
    mode: str,
) -> Command:
    flat = [part for pair in fields.items() for part in pair]

    return ("EVAL", _WRITE, 1, key, truth.epoch, truth.lineage, mode, SECONDS, *flat)


async def announce(database: Database, pipe: RedisPipe) -> None:
    """After a change: copies the newest state into Redis and publishes its epoch.

    Raises StoreUnavailable when Postgres is away; Redis may be.
    """
    async with transaction(database) as connection:
        found = await connection.execute(STATEMENTS["control_state"])
        truth = stored(*found.one())

    await write(pipe, truth)
    await pipe.send(("PUBLISH", NEWS, truth.epoch))


async def read(
    pipe: RedisPipe,
    *,
    at_least: int,
    lineage: str | None,
) -> ControlSnapshot | None:
    """What Redis holds, if it is whole and not older than `at_least`.

    `lineage` is the database it must be of; None: any.
    """
    replies = await pipe.send(("HGETALL", HASH))
    first = _hash(replies[0]) if replies else None
    if first is None or int(first["_epoch"]) < at_least:
        return None
    if lineage not in (None, first["_lineage"].decode()):
        return None

    keys = _keys([first.get("_channels"), first.get("_experiments")])
    if keys is None:
        return None

    replies = await pipe.send(*(("HGETALL", key) for key in keys)) if keys else []
    rest = [part for part in map(_hash, replies or ()) if part and _same(part, first)]
    if len(rest) != len(keys):
        return None

    return _from_hashes(first, dict(zip(keys, rest, strict=True)))


def _same(one: Hash, other: Hash) -> bool:
    """Whether both were written at the same epoch of the same database."""
    return all(one[name] == other[name] for name in ("_epoch", "_lineage"))


def _hash(reply: Any) -> Hash | None:
    """A hash as it was written; None when a field is missing or added."""
    if (found := mapping(reply)) is None:
        return None

    fields = {name.decode("utf-8", "replace"): value for name, value in found.items()}
    count = sum(not name.startswith("_") for name in fields)
    whole = (
        fields.get("_count") == b"%d" % count
        and fields.get("_epoch", b"").isdigit()
        and "_lineage" in fields
    )

    return fields if whole else None


def to_hashes(truth: ControlSnapshot) -> dict[str, Hash]:
    """All hashes by their key, the global one last."""
    everywhere, by_channel = _rules(truth)
    hashes = {
        CHANNEL_HASH + channel: _sealed(truth, fields)
        for channel, fields in by_channel.items()
    }

    for name, model, settings in truth.channels:
        row = msgspec.json.encode([model, settings])
        hashes[CHANNEL_HASH + name]["_settings"] = row

    for name, definition in truth.experiments:
        fields = {
            part: msgspec.json.encode(value) for part, value in definition.items()
        }
        hashes[EXPERIMENT_HASH + name] = _sealed(truth, fields)

    names = {
        "_channels": msgspec.json.encode(sorted(by_channel)),
        "_experiments": msgspec.json.encode([name for name, _ in truth.experiments]),
    }

    return {**hashes, HASH: _sealed(truth, everywhere) | names}


def _rules(truth: ControlSnapshot) -> tuple[Hash, dict[str, Hash]]:
    """Rules as fields: of the global hash, and of each channel's."""
    everywhere: Hash = {}
    by_channel: dict[str, Hash] = {name: {} for name, _, _ in truth.channels}

    for scope, name, value in truth.flags:
        kind, _, place = scope.partition(":")
        channel, _, chat = place.partition(":")
        encoded = msgspec.json.encode(value)

        if kind == "chat":
            by_channel.setdefault(channel, {})[f"{name}@chat:{chat}"] = encoded
        elif kind == "channel":
            by_channel.setdefault(channel, {})[name] = encoded
        else:
            everywhere[name if scope == GLOBAL else f"{name}@{scope}"] = encoded

    return everywhere, by_channel


def _sealed(truth: ControlSnapshot, fields: Hash) -> Hash:
    seal = {"_epoch": truth.epoch, "_lineage": truth.lineage, "_count": len(fields)}

    return {**fields, **{name: str(value).encode() for name, value in seal.items()}}


def _from_hashes(
    everywhere: Hash, rest: Mapping[str, Hash]
) -> ControlSnapshot | None:
    """`rest` has the other hashes by their key."""
    channels = _of_kind(CHANNEL_HASH, rest)
    experiments = _of_kind(EXPERIMENT_HASH, rest)

    try:
        return ordered(
            int(everywhere["_epoch"]),
            everywhere["_lineage"].decode(),
            _flags(everywhere, channels),
            [
                (channel, *msgspec.json.decode(fields["_settings"]))
                for channel, fields in channels.items()
                if "_settings" in fields
            ],
            [(name, _definition(fields)) for name, fields in experiments.items()],
        )
    except (msgspec.MsgspecError, TypeError):  # somebody else's bytes under our name
        return None


def _flags(
    everywhere: Hash,
    channels: Mapping[str, Hash],
) -> list[tuple[str, str, Any]]:
    """(scope, flag, value) of each rule."""
    flags = [
        (scope or GLOBAL, name, value) for name, scope, value in _fields(everywhere)
    ]

    for channel, fields in channels.items():
        for name, scope, value in _fields(fields):
            chat = scope.removeprefix("chat:")
            where = f"chat:{channel}:{chat}" if scope else f"channel:{channel}"
            flags.append((where, name, value))

    return flags


def _definition(fields: Hash) -> dict[str, Any]:
    return {
        part: msgspec.json.decode(value)
        for part, value in fields.items()
        if not part.startswith("_")
    }


def _fields(fields: Hash) -> list[tuple[str, str, Any]]:
    """(flag, scope or "", value) of each field that is a rule."""
    rules = [
        (field.partition("@"), value)
        for field, value in fields.items()
        if not field.startswith("_")
    ]

    return [
        (name, scope, msgspec.json.decode(value)) for (name, _, scope), value in rules
    ]


def _of_kind(prefix: str, hashes: Mapping[str, Hash]) -> dict[str, Hash]:
    return {
        key.removeprefix(prefix): fields
        for key, fields in hashes.items()
        if key.startswith(prefix)
    }


def _keys(fields: Any) -> list[str] | None:
    """Keys of the other hashes, as the fields `_channels` and `_experiments` name them."""
    if not isinstance(fields, list):
        return None

    channels, experiments = map(_names, fields)
    if channels is None or experiments is None:
        return None

    return [
        *(CHANNEL_HASH + name for name in channels),
        *(EXPERIMENT_HASH + name for name in experiments),
    ]


def _names(data: Any) -> Sequence[str] | None:
    if not isinstance(data, bytes):
        return None

    try:
        return msgspec.json.decode(data, type=list[str])
    except msgspec.MsgspecError:
        return None
