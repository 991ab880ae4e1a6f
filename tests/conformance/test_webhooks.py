"""What is forged, stale or replayed never becomes a message. The seed of a run is in the
test's name.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.core.channel import Webhook
from agent.core.messages import Inbound
from agent.ports import Channel
from channels.discord.channel import Discord
from channels.pacing import Governor
from channels.slack.channel import Slack
from channels.slack.signature import sign
from channels.telegram.channel import Telegram
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET
from tests.support.platforms.slack.delivery import Delivery, signed
from tests.support.platforms.slack.state import payload as slack_payload

PUBLIC = "http://127.0.0.1:1"
MUTATIONS = 10_000
STALE_S = 301.0

Request = tuple[dict[str, str], bytes]


@dataclass
class Hooked:
    """A channel behind HTTP, how its platform signs, and what got through."""

    channel: Any
    genuine: Callable[[str], Request]  # a signed delivery of a new message
    signatures: tuple[str, ...]  # the headers that prove where it comes from
    signs_body: bool
    sign: Callable[[bytes], Request]  # a genuine delivery of this body
    got: list[Inbound] = field(default_factory=list)
    now: float = field(default_factory=time.time)

    async def accept(self, inbound: Inbound) -> None:
        """As the engine would."""
        self.got.append(inbound)

    async def post(self, request: Request) -> int:
        """The answer's status."""
        hook: Webhook = self.channel
        return (await hook.webhook(*request)).status


def discord(driver: DiscordDriver) -> Hooked:
    server = driver.server
    made: list[Hooked] = []
    channel = Discord(
        token=server.token,
        api_url=server.api_url,
        governor=Governor(),
        public_url=PUBLIC,
        public_key=server.public_key,
        identify_pause=0,
        now=lambda: made[0].now,
    )
    place = driver.direct("ada")

    def genuine(text: str) -> Request:
        use = server.state.use_command(place.chat, "history", text, user="ada")
        return server.signed(use, at=made[0].now)

    names = ("x-signature-ed25519", "x-signature-timestamp")

    def sign_body(body: bytes) -> Request:
        return server.signed(body, at=made[0].now)

    made.append(Hooked(channel, genuine, names, signs_body=True, sign=sign_body))

    return made[0]


def telegram(driver: TelegramDriver) -> Hooked:
    server = driver._server
    channel = Telegram(
        token=server.token, api_url=server.url, governor=Governor(), public_url=PUBLIC
    )
    chat = server.private("ada")

    def genuine(text: str) -> Request:
        message = server.state.message(chat, server.state.person("ada"), text)
        body = json.dumps(
            {"update_id": message["message_id"], "message": message}
        ).encode()
        return sign_body(body)

    def sign_body(body: bytes) -> Request:
        return {"x-telegram-bot-api-secret-token": server.delivery.secret}, body

    names = ("x-telegram-bot-api-secret-token",)

    return Hooked(channel, genuine, names, signs_body=False, sign=sign_body)


def slack(driver: SlackDriver) -> Hooked:
    server = driver.server
    made: list[Hooked] = []
    channel = Slack(
        bot_token=BOT_TOKEN,
        app_token=APP_TOKEN,
        api_url=server.api_url,
        governor=Governor(),
        slash_commands=lambda: True,
        public_url=PUBLIC,
        signing_secret=SIGNING_SECRET,
        clock=lambda: made[0].now,
    )
    place = driver.direct("ada")

    def genuine(text: str) -> Request:
        said = server.space.add(place.chat, server.space.person("ada"), text)
        [event] = server._message_events(said)
        body = slack_payload("message_im") | {"event": event}

        return signed(Delivery("events_api", body, made[0].now), made[0].now)

    names = ("x-slack-signature", "x-slack-request-timestamp")

    def sign_body(body: bytes) -> Request:
        stamp = str(int(made[0].now))
        return {
            "content-type": "application/json",
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": sign(SIGNING_SECRET, stamp, body),
        }, body

    made.append(Hooked(channel, genuine, names, signs_body=True, sign=sign_body))

    return made[0]


@asynccontextmanager
async def listening(hooked: Hooked, accept: Any) -> AsyncIterator[None]:
    """The channel, signed in and ready for webhooks."""
    channel: Channel = hooked.channel
    task = asyncio.create_task(channel.run(accept))

    try:
        async with asyncio.timeout(20):
            while await hooked.post(hooked.genuine("are you ready?")) != 200:
                await asyncio.sleep(0.01)

        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def hook(driver: Driver) -> Hooked:
    """The driver's channel, reached over HTTP."""
    if isinstance(driver, DiscordDriver):
        return discord(driver)
    if isinstance(driver, TelegramDriver):
        return telegram(driver)

    assert isinstance(driver, SlackDriver)

    return slack(driver)


def mutated(
    request: Request,
    hooked: Hooked,
    chance: random.Random,
) -> Request:
    """The delivery with one thing wrong: a proof changed, cut, missing or borrowed, or the
    body touched.
    """
    headers, body = dict(request[0]), request[1]
    kinds = ["flip", "cut", "drop", "swap", "case"] + (
        ["body"] * 3 if hooked.signs_body else []
    )
    kind, name = chance.choice(kinds), chance.choice(hooked.signatures)
    value = headers[name]
    at = chance.randrange(len(value))
    if kind == "body":
        place = chance.randrange(len(body))
        return headers, body[:place] + bytes(
            [body[place] ^ (1 << chance.randrange(8))]
        ) + body[place + 1 :]

    if kind == "flip":
        headers[name] = (
            value[:at]
            + chance.choice([c for c in "0123456789abcdefXYZ é\0" if c != value[at]])
            + value[at + 1 :]
        )
    elif kind == "cut":
        headers[name] = value[:at]
    elif kind == "drop":
        del headers[name]
    elif kind == "swap":
        headers[name] = value[::-1] if value[::-1] != value else value + "0"
    else:
        headers[name] = value + chance.choice(["0", " ", "=", ",v0=", "\n"])

    return headers, body


@pytest.mark.parametrize("seed", [20261121])
async def test_no_forged_webhook_is_accepted(driver: Driver, seed: int) -> None:
    """10,000 mutations of genuine deliveries: none is taken, none is answered with 200."""
    chance, hooked = random.Random(seed), hook(driver)
    async with listening(hooked, hooked.accept):
        genuine = [hooked.genuine(f"message {number}") for number in range(20)]
        hooked.got.clear()
        statuses = set()

        for _ in range(MUTATIONS):
            statuses.add(
                await hooked.post(mutated(chance.choice(genuine), hooked, chance))
            )

        assert ({401}, []) == (statuses, hooked.got)
        assert 200 == await hooked.post(genuine[0])
        assert 1 == len(hooked.got)


async def test_a_stale_webhook_is_not_accepted(driver: Driver) -> None:
    """A delivery that was signed more than five minutes ago, or later than now, is
    somebody's copy.
    """
    hooked = hook(driver)
    async with listening(hooked, hooked.accept):
        hooked.got.clear()
        for shift in (STALE_S, -2 * STALE_S):
            request = hooked.genuine("old news")
            hooked.now += shift
            assert 401 == await hooked.post(request)

        assert [] == hooked.got


async def test_a_replayed_webhook_is_one_message(
    driver: Driver, database_url: str, redis_url: str
) -> None:
    """A copy in time is taken as what it is: the same message again, once stored and once
    answered.
    """
    hooked = hook(driver)
    harness = ChannelHarness(database_url, redis_url, [driver])

    async with harness.agent() as agent:
        await agent.hush()
        async with listening(hooked, agent.engine.accept):
            await harness.settled()
            known = await harness.value("SELECT count(*) FROM turns")
            request = hooked.genuine("5")
            assert [200] * 5 == [await hooked.post(request) for _ in range(5)]
            await harness.settled()

    assert known + 1 == await harness.value("SELECT count(*) FROM turns")


DEEP = b'{"a":' * 20_000
ODD: tuple[Any, ...] = (
    None,
    True,
    7,
    -1.5,
    "",
    "abc",
    "a\0b",
    [],
    ["x"],
    {},
    {"x": {}},
)
NOT_EVEN_JSON = (
    b"",
    b"null",
    b"[]",
    b"7",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b"nonsense",
    DEEP,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in this JSON."""
    pairs: Any = enumerate(value) if isinstance(value, list) else ()
    for key, inner in value.items() if isinstance(value, dict) else pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """A copy with another value at this place; `...` leaves it out."""
    copy = json.loads(json.dumps(value))
    *above, last = path
    inner = copy
    for key in above:
        inner = inner[key]
    if odd is ...:
        del inner[last]
    else:
        inner[last] = odd

    return copy


def nonsense(genuine: Any) -> Iterator[bytes]:
    """The delivery with every field in turn missing or of every other type, and no delivery
    at all.
    """
    yield from NOT_EVEN_JSON
    for path in places(genuine):
        for odd in (..., *ODD):
            yield json.dumps(changed(genuine, path, odd)).encode()


async def test_signed_nonsense_is_passed_over(driver: Driver) -> None:
    """It would come again forever. What comes after it is read as ever."""
    hooked = hook(driver)
    async with listening(hooked, hooked.accept):
        genuine = json.loads(hooked.genuine("a question")[1])
        statuses: dict[int, bytes] = {}
        for body in nonsense(genuine):
            statuses.setdefault(await hooked.post(hooked.sign(body)), body[:300])

        hooked.got.clear()
        last = await hooked.post(hooked.genuine("and the next"))

    assert list(statuses) == [200], statuses
    assert (last, len(hooked.got)) == (200, 1)
