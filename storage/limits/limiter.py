"""How often people may speak: decided by Redis for all instances together, and by memory
where Redis forgot or is gone.

One script judges all limits of a message in one call on Redis's own clock: it counts in all
of them or in none. A person's messages count for the account and, once its owner is known,
for all accounts of the person. Each instance also keeps a shadow of what it let pass, so
that a key evicted from Redis lets at most the limit through once more on each instance.
While Redis does not answer, each instance allows its share: limit / instances.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any
from uuid import UUID

import structlog
from msgspec.structs import replace
from redis.exceptions import NoScriptError

from agent.core.errors import StoreUnavailable
from agent.core.limits import Allowance, Limit, Limited, LocalLimiter, Rule
from agent.core.messages import Said
from agent.ports import Control
from storage.connecting.redis_connection import Command
from storage.limits import STATEMENTS
from storage.limits.recent_ids import RecentIds
from storage.postgres import Database
from storage.redis import DEADLINE_SECONDS, RedisPipe

SCRIPT = """
-- For each limit: KEYS its state, and whether its audience was told;
-- ARGV interval in µs, burst, window in ms.
-- A state is the moment in µs at which nothing is used any more.
-- Returns {µs to wait, which limit, tell}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local longest, which, moments = 0, 0, {}
for i = 1, #KEYS / 2 do
    local interval, burst = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
    local at = tonumber(redis.call('GET', KEYS[2 * i - 1]) or now)
    -- bounded above, so that a clock that went back locks nobody out
    at = math.min(math.max(at, now), now + burst * interval)
    local wait = at + interval - burst * interval - now
    if wait > longest then longest, which = wait, i end
    moments[i] = at + interval
end
if longest > 0 then
    local told = redis.call('SET', KEYS[2 * which], '', 'NX', 'PX', ARGV[3 * which])
    return {math.ceil(longest), which, told and 1 or 0}
end
for i, at in ipairs(moments) do
    local state = string.format('%.0f', at)  -- as a plain number Lua would keep 14 digits of it
    redis.call('SET', KEYS[2 * i - 1], state, 'PX', math.ceil((at - now) / 1000))
end
return {0, 0, 0}
"""
_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""The name of the script in Redis."""

RECOUNT_SECONDS = 1.0
"""While Redis is away, instances are counted at most this often."""

OWN_MACHINE = "terminal"
"""The channel on which people talk to an agent of their own: no default limit holds there."""

SEEN = 20_000
"""Turns that are remembered as counted, so that a repeated delivery counts once."""

REMEMBERED = 4096
"""People whose limits are kept at hand."""

log = structlog.get_logger()


class RedisLimiter:
    """Implements agent.ports.Limiter. `per_person` holds where no operator set a limit."""

    def __init__(
        self,
        database: Database,
        pipe: RedisPipe,
        control: Control,
        per_person: Limit | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = database.line(planner={})
        self._pipe = pipe
        self._control = control
        self._per_person = per_person
        self._clock = clock
        self._shadow, self._stand_in = LocalLimiter(clock), LocalLimiter(clock)
        self._personal: Mapping[str, Allowance] = {}
        self._applied: int | None = (
            None  # the epoch at which personal limits were read
        )
        self._reading = asyncio.Lock()
        self._instances = 1
        self._counted_at = -math.inf
        self._seen: RecentIds[UUID, UUID] = RecentIds(SEEN)
        self._persons: RecentIds[str, UUID] = RecentIds()  # by account

    async def judge(self, inbound: Said) -> Limited | None:
        """Counts a command, or what is refused, in one round trip; None: it may pass.

        Messages are counted by `rules` and `verdict` in the round trip of their arrival
        (`RedisCache.arrive`).
        """
        rules = await self.rules(inbound)
        replies = await self._pipe.send(*commands(rules)) if rules else None

        return await self.verdict(inbound, rules, replies[0] if replies else None)

    async def judge_rules(self, rules: Sequence[Rule]) -> Limited | None:
        """Counts what is no message of a person, such as a call of a webhook."""
        replies = await self._pipe.send(*commands(rules)) if rules else None

        return await self._verdict(rules, replies[0] if replies else None)

    async def rules(self, inbound: Said) -> Sequence[Rule]:
        """What limits this message; nothing when it was counted before."""
        await self._refresh()
        if self._seen.get(inbound.turn_id) is not None:
            return ()

        channel = inbound.address.channel
        settings = self._control.channel(channel)
        account = f"{channel}:{inbound.user_id}"
        chat = f"{channel}:{inbound.address.chat}"
        default = None if channel == OWN_MACHINE else self._per_person
        own = self._personal.get(account) or settings.user_limit or default
        shared = (
            ("chat", chat, settings.chat_limit, chat),
            ("channel", channel, settings.channel_limit, account),
        )

        return (
            *personal_rules(account, self._persons.get(account), own),
            *(
                Rule(scope, name, limit, audience)
                for scope, name, limit, audience in shared
                if isinstance(limit, Limit)
            ),
        )

    async def verdict(
        self,
        inbound: Said,
        rules: Sequence[Rule],
        reply: Any,
        person: UUID | None = None,
    ) -> Limited | None:
        """Reads the reply of Redis to `commands(rules)`; None: it did not answer.

        `person` is the account's owner, as the session says. If the rules did not know the
        owner, one more round trip counts the message for them.
        """
        limited = await self._verdict(rules, reply)
        if limited is None and person is not None:
            limited = await self.judge_rules(self._missed(inbound, rules, person))

        if limited is None and rules:
            self._seen.put(inbound.turn_id, inbound.turn_id)

        return limited

    def learn(
        self,
        channel: str,
        account: str,
        person: UUID,
    ) -> None:
        """Remembers an account's owner, as an accepted turn told it."""
        self._persons.put(f"{channel}:{account}", person)

    def _missed(
        self,
        inbound: Said,
        rules: Sequence[Rule],
        person: UUID,
    ) -> Sequence[Rule]:
        """Rules of the account's owner that are missing, because the owner was not known."""
        if any(rule.subject == str(person) for rule in rules):
            return ()

        self.learn(inbound.address.channel, inbound.user_id, person)
        account = f"{inbound.address.channel}:{inbound.user_id}"

        return [
            replace(rule, subject=str(person))
            for rule in rules
            if (rule.scope, rule.subject) == ("user", account)
        ]

    async def _verdict(self, rules: Sequence[Rule], reply: Any) -> Limited | None:
        if not rules:
            return None

        if isinstance(reply, NoScriptError):  # Redis was restarted
            replies = await self._pipe.send(_command("EVAL", SCRIPT, rules))
            reply = replies[0] if replies else None

        if isinstance(reply, list):
            wait, which, tell = reply
            if wait:
                return Limited(rules[which - 1].scope, wait / 1e6, bool(tell))
        else:
            share = await self._count_instances()
            if limited := self._stand_in.judge(rules, share=share):
                return limited

        return self._shadow.judge(rules, slack=DEADLINE_SECONDS)

    async def _refresh(self) -> None:
        """Reads personal limits again when an operator changed something.

        That clears the shadow, because `agent limits reset` is such a change.
        """
        if self._applied == self._control.epoch:
            return

        async with self._reading:
            epoch = self._control.epoch
            if self._applied == epoch:
                return

            try:
                rows = await self._line.fetch(
                    STATEMENTS["personal_limits"], retry=0.2
                )
            except StoreUnavailable:
                log.warning("personal limits not read; the last known hold")
                return

            self._personal = {
                f"{row['channel']}:{row['account']}": allowance(row["wanted"])
                for row in rows
            }
            self._shadow.clear()
            self._applied = epoch

    async def _count_instances(self) -> int:
        if self._clock() - self._counted_at < RECOUNT_SECONDS:
            return self._instances

        self._counted_at = self._clock()
        try:
            rows = await self._line.fetch(STATEMENTS["count_instances"], retry=0.2)
            self._instances = max(1, rows[0]["alive"])
        except StoreUnavailable:
            log.warning(
                "instances not counted; the last number holds", count=self._instances
            )

        return self._instances


# The same people come again.
@lru_cache(maxsize=REMEMBERED)
def personal_rules(
    account: str,
    person: UUID | None,
    limit: Allowance,
) -> tuple[Rule, ...]:
    """What limits an account (`channel:id`): alone and, if its owner is known, together
    with their other accounts.

    Both, so that an account does not get a second limit when its owner becomes known.
    """
    subjects = (account, str(person)) if person else (account,)

    return tuple(
        Rule("user", subject, limit, account)
        for subject in subjects
        if isinstance(limit, Limit)
    )


def allowance(text: str | None) -> Allowance:
    """A stored limit. One that cannot be read counts as not set."""
    if text is None or text == "off":
        return "off" if text else None

    try:
        return Limit.parse(text)
    except ValueError:
        return None


def commands(rules: Sequence[Rule]) -> list[Command]:
    """What to send for these rules: nothing, or one command."""
    return [_command("EVALSHA", _SHA, rules)] if rules else []


def _command(
    verb: str,
    script: str,
    rules: Sequence[Rule],
) -> Command:
    keys = [key for rule in rules for key in (rule.key, rule.told_key)]
    numbers = [
        number
        for rule in rules
        for number in (
            round(rule.limit.interval * 1e6),
            rule.limit.count,
            rule.limit.seconds * 1000,
        )
    ]

    return (verb, script, len(keys), *keys, *numbers)
