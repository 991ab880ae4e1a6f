"""What people do, and what goes wrong, on some platforms only, next to the protocol that all
drivers have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.core.messages import Thumb
from tests.conformance.driver import Driver, Place
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.platforms.discord import payload as discord_payload
from tests.support.platforms.slack import AGENT, BOT_TOKEN, Fault
from tests.support.platforms.slack.state import payload as slack_payload
from tests.support.platforms.telegram.state import BOT_NAME

EMOJI = {Thumb.UP: "👍", Thumb.DOWN: "👎"}
MASS_MENTIONS = ("@everyone", "@here", "<!channel>", "<!here>", "<!everyone>")


def connections(driver: Driver) -> int | None:
    """How many connections there were; None where nobody waits for one."""
    return (
        driver.server.gateway.identified
        if isinstance(driver, DiscordDriver)
        else None
    )


async def delete(driver: Driver, message: str) -> None:
    """The person deletes a message."""
    if isinstance(driver, DiscordDriver):
        driver.server.state.delete(message)
    elif isinstance(driver, SlackDriver):
        await driver.server.remove(driver._chats[message], message)


async def attach(
    driver: Driver,
    place: Place,
    text: str,
) -> None:
    """Ada writes with a file."""
    if isinstance(driver, DiscordDriver):
        driver.server.state.say(
            place.chat, text, user="ada", attachments=[discord_payload("attachment")]
        )
    elif isinstance(driver, TelegramDriver):
        document = {
            "file_id": "f",
            "file_unique_id": "u",
            "file_name": "photo.jpg",
            "file_size": 120_000,
        }
        document |= {"mime_type": "image/jpeg"}
        driver._server.say(driver._chat(place), "", document=document, caption=text)
    elif isinstance(driver, SlackDriver):
        files = slack_payload("file_share")["event"]["files"]
        await driver.server.say(
            place.chat, driver.server.space.person("ada"), text, files=files
        )


async def reply_to_agent(
    driver: Driver,
    place: Place,
    text: str,
) -> None:
    """Ada replies to the agent's last message here, without a mention."""
    if isinstance(driver, DiscordDriver):
        state = driver.server.state
        mine = [
            m
            for m in state.messages[place.chat]
            if m["author"]["id"] == state.bot["id"]
        ][-1]
        reference = {"message_id": mine["id"], "channel_id": place.chat}
        fields: dict[str, Any] = {
            "type": 19,
            "message_reference": reference,
            "referenced_message": mine,
        }
        state.say(place.chat, text, user="ada", **fields)
    elif isinstance(driver, TelegramDriver):
        chat = driver._chat(place)
        last = list(chat.sent.values())[-1]
        me = driver._server.methods.me
        said = {
            "message_id": last.id,
            "date": 0,
            "chat": chat.describe(),
            "text": last.text,
        }
        said["from"] = {
            key: me[key] for key in ("id", "is_bot", "first_name", "username")
        }
        driver._server.say(chat, text, thread=place.thread, reply_to_message=said)
    elif isinstance(driver, SlackDriver):
        space = driver.server.space
        last_thread = space.of_agent(place.chat)[-1].thread
        await driver.server.say(
            place.chat, space.person("ada"), text, thread=last_thread
        )


async def edit_into_mention(
    driver: Driver,
    message: str,
    text: str,
) -> None:
    """The person edits a message so that it mentions the agent."""
    if isinstance(driver, DiscordDriver):
        state = driver.server.state
        state.edit(message, f"<@{state.bot['id']}> {text}")
    elif isinstance(driver, TelegramDriver):
        driver._server.edit(driver._said[message], f"@{BOT_NAME} {text}")
    elif isinstance(driver, SlackDriver):
        chat = driver._chats[message]
        await driver.server.edit(chat, message, f"<@{AGENT}> {text}")


def answers(driver: Driver, place: Place) -> Sequence[str]:
    """The platform's ids of the agent's messages here, oldest first."""
    if isinstance(driver, DiscordDriver):
        state = driver.server.state
        return [
            m["id"]
            for m in state.messages[place.chat]
            if m["author"]["id"] == state.bot["id"]
        ]

    if isinstance(driver, TelegramDriver):
        return [
            str(sent.id)
            for sent in driver._chat(place).sent.values()
            if sent.thread == place.thread
        ]

    assert isinstance(driver, SlackDriver)

    return [said.ts for said in driver.server.space.of_agent(place.chat)]


async def react(
    driver: Driver,
    place: Place,
    message: str,
    *,
    given: Thumb | None = None,
    taken: Thumb | None = None,
    user: str = "ada",
    deliver: int = 1,
) -> None:
    """A person gives a thumb to a message, takes one away, or changes it; each is delivered
    `deliver` times.
    """
    if isinstance(driver, TelegramDriver):
        number = int(message.rpartition(":")[2])
        driver._server.react(
            driver._chat(place),
            number,
            *([EMOJI[given]] if given else []),
            user=user,
            deliver=deliver,
        )
        return

    for thumb, away in ((taken, True), (given, False)):
        for _ in range(deliver if thumb else 0):
            if isinstance(driver, DiscordDriver):
                driver.server.state.react(
                    message, EMOJI[thumb or Thumb.UP], user=user, taken=away
                )
            elif isinstance(driver, SlackDriver):
                space = driver.server.space
                name = (thumb or Thumb.UP).value
                await driver.server.react(
                    place.chat, message, name, user=space.person(user), taken=away
                )


def let_hear_reactions(driver: Driver, place: Place) -> None:
    """Gives the agent the role in a group that reactions need."""
    if isinstance(driver, TelegramDriver):
        driver._chat(place).bot_status = "administrator"


async def say_as_bot(
    driver: Driver,
    place: Place,
    text: str,
) -> None:
    """Another bot writes, and the agent's own words come back as an event."""
    if isinstance(driver, DiscordDriver):
        state = driver.server.state
        words = f"<@{state.bot['id']}> {text}"
        state.say(
            place.chat, words, user="ada", author=state.person("robot", bot=True)
        )
        state.say(place.chat, words, user="ada", author=state.bot)
    elif isinstance(driver, TelegramDriver):
        chat, telegram = driver._chat(place), driver._server.state
        robot = telegram.person("robot") | {"is_bot": True}
        mark = {
            "type": "mention",
            "offset": 0,
            "length": len(BOT_NAME) + 1,
        }

        for author in (robot, driver._server.methods.me):
            message = telegram.message(
                chat, author, f"@{BOT_NAME} {text}", entities=[mark]
            )
            telegram.deliver(message)

        driver._server.delivery.wake()
    elif isinstance(driver, SlackDriver):
        where = {
            "channel": place.chat,
            "channel_type": driver.server.space.kinds[place.chat],
        }
        for name in ("bot_message", "own_message"):
            event = (
                slack_payload(name)["event"] | where | {"text": f"<@{AGENT}> {text}"}
            )
            await driver.server.emit(event)


def lose_answers(
    driver: Driver,
    place: Place,
    *,
    times: int = 1,
) -> None:
    """The next messages of the agent arrive here, but their responses are lost."""
    if isinstance(driver, DiscordDriver):
        driver.server.faults.swallowed[place.chat] = times
    elif isinstance(driver, TelegramDriver):
        driver._server.cut("sendMessage", times=times)
    elif isinstance(driver, SlackDriver):
        fault = Fault(
            "", method="chat.postMessage", chat=place.chat, times=times, lost=True
        )
        driver.server.space.faults.append(fault)


def break_streaming(driver: Driver) -> None:
    """The platform's own way of streaming is refused from now on."""
    if isinstance(driver, TelegramDriver):
        driver._server.refuse(
            "sendMessageDraft", 400, "Bad Request: drafts are not available"
        )
    elif isinstance(driver, SlackDriver):
        driver.server.space.unknown_methods |= {
            "chat.startStream",
            "chat.appendStream",
            "chat.stopStream",
        }


async def let_stream_die(driver: Driver) -> None:
    """Lets more time pass than a native stream lives."""
    if isinstance(driver, SlackDriver):
        await driver.server.clock.advance(301.0)


def refuse_formatting(driver: Driver) -> None:
    """The platform refuses all formatting from now on."""
    if isinstance(driver, TelegramDriver):
        driver._server.refuse_entities = True
    elif isinstance(driver, SlackDriver):
        for method in ("chat.postMessage", "chat.update"):
            driver.server.space.faults.append(
                Fault("invalid_blocks", method=method, times=1)
            )


def revoke_token(driver: Driver) -> str:
    """The platform no longer accepts the token. Returns it."""
    if isinstance(driver, DiscordDriver):
        token, driver.server.token = driver.server.token, "another-token"
        driver.server.gateway.token = "another-token"
        return token

    if isinstance(driver, TelegramDriver):
        token = driver._server.token
        driver._server.token = "700000001:AAF-another_token"
        return token

    assert isinstance(driver, SlackDriver)
    driver.server.space.refused_tokens[BOT_TOKEN] = "token_revoked"

    return BOT_TOKEN


def restore_token(driver: Driver, token: str) -> None:
    """The platform accepts this revoked token again."""
    if isinstance(driver, DiscordDriver):
        driver.server.token = driver.server.gateway.token = token
    elif isinstance(driver, TelegramDriver):
        driver._server.token = token
    elif isinstance(driver, SlackDriver):
        del driver.server.space.refused_tokens[token]


def pings(driver: Driver) -> list[str]:
    """The agent's messages that alert many people at once."""
    if isinstance(driver, DiscordDriver):
        state = driver.server.state
        mine = [
            m
            for messages in state.messages.values()
            for m in messages
            if m["author"] == state.bot
        ]
        quiet = {"parse": [], "replied_user": False}
        return [
            m["content"]
            for m in mine
            if m.get("allowed_mentions") != quiet
            and _alerts(m["content"], MASS_MENTIONS[:2])
        ]

    if isinstance(driver, SlackDriver):
        space = driver.server.space
        texts = [
            t
            for chat in space.chats
            for s in space.of_agent(chat)
            for t in (s.text, *(block["text"] for block in s.blocks))
        ]
        return [text for text in texts if _alerts(text, MASS_MENTIONS[2:])]

    return []


def _alerts(text: str, marks: tuple[str, ...]) -> bool:
    return any(mark in text for mark in marks)


async def wait_out_retries(driver: Driver, seconds: float) -> None:
    """The platform's clock goes on, where its retries run on one that tests can move."""
    if isinstance(driver, SlackDriver):
        await driver.server.clock.advance(seconds)


def has_menu(driver: Driver) -> bool | None:
    """Whether the menu shows the commands; None where a bot cannot change it."""
    if isinstance(driver, DiscordDriver):
        return bool(driver.server.state.commands)

    return (
        bool(driver._server.methods.menu)
        if isinstance(driver, TelegramDriver)
        else None
    )


def command_refusal(driver: Driver, place: Place) -> str:
    """What the person alone was shown instead of an answer to the command used last; "":
    nothing.
    """
    if isinstance(driver, DiscordDriver):
        used = [
            use
            for use in driver.server.state.interactions.values()
            if use.channel == place.chat
        ]
        return (
            str(((used[-1].response or {}).get("data") or {}).get("content", ""))
            if used
            else ""
        )

    if isinstance(driver, SlackDriver):
        alone = [
            said.visible
            for said in driver.server.space.of_agent(place.chat)
            if said.only_for
        ]
        return alone[-1] if alone else ""

    return ""


def is_streaming(driver: Driver) -> bool:
    """Whether a stream of the platform's own is open."""
    if not isinstance(driver, SlackDriver):
        return False

    space = driver.server.space
    messages = [one for chat in space.chats.values() for one in chat]

    return any(map(space.is_streaming, messages))
