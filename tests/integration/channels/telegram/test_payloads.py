"""What Telegram sends, as files, and what the core hears of it."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from agent.core.commands import parse_command
from agent.core.messages import Address, Reacted, Said, Thumb
from channels.telegram.updates import read
from tests.support.inbound import text_of
from tests.support.platforms.telegram.payloads import ME, PAYLOADS, load

PRIVATE, GROUP, FORUM = "5000", "-1001234567890", "-1009876543210"


def heard(
    chat: str, message: int, text: str, *, thread: str = "", **other: Any
) -> Said:
    address = Address("telegram", chat, thread, str(message))
    fields = {
        "user_id": "5000",
        "username": "Ada Lovelace",
        "direct": chat == PRIVATE,
    }
    return Said(address, str(message), text=text, **{**fields, **other})


def judged(
    chat: str,
    message: int,
    thumb: Thumb,
    change: Literal["vote", "unvote"],
    **other: Any,
) -> Reacted:
    inbound = heard(chat, message, "", **other)
    return Reacted(
        Address("telegram", chat),
        inbound.message_id,
        inbound.user_id,
        thumb,
        taken_back=change == "unvote",
        username=inbound.username,
        direct=inbound.direct,
    )


HEARD = {
    "private_text": heard(PRIVATE, 10, "Hello, agent 👋"),
    "private_start": heard(PRIVATE, 11, "/start"),
    "private_command": heard(PRIVATE, 12, "/model offline:echo"),
    "private_photo": heard(PRIVATE, 13, "what is this?\n[image photo.jpg, 120 kB]"),
    "private_document": heard(PRIVATE, 14, "[file report.pdf, 3.4 MB]"),
    "private_image_file": heard(PRIVATE, 15, "[image plan.png, 845 B]"),
    "private_voice": heard(PRIVATE, 16, "[voice message, 48 kB]"),
    "private_animation": heard(PRIVATE, 17, "[animation cat.mp4, 99 kB]"),
    "private_sticker": heard(PRIVATE, 18, "[sticker 😀, 24 kB]"),
    "private_edited": heard(PRIVATE, 10, "").edited("Hello, agent!"),
    "private_topic": heard(PRIVATE, 19, "in a topic of our own", thread="77"),
    "group_mention": heard(GROUP, 31, "what is a turn?"),
    "group_mention_inside": heard(GROUP, 32, "👋 hey what is a turn?"),
    "group_mention_alone": heard(GROUP, 34, ""),
    "group_text_mention": heard(GROUP, 35, "hello"),
    "group_caption_mention": heard(
        GROUP, 36, "who is that?\n[image photo.jpg, 1000 kB]"
    ),
    "group_reply_to_agent": heard(GROUP, 37, "and then?"),
    "group_command": heard(GROUP, 39, "/usage"),
    "group_command_argument": heard(GROUP, 40, "/history 5"),
    "group_command_bare": heard(GROUP, 41, "/usage"),
    "group_anonymous_admin": heard(
        GROUP, 44, "are you there?", user_id=GROUP, username="Engines"
    ),
    "group_edited_mention": heard(GROUP, 31, "").edited("what is a lease?"),
    "group_reply_chain": heard(
        GROUP, 48, "In reply to Ada Lovelace:\n> not for the agent\n\nyes?"
    ),
    "forum_mention": heard(FORUM, 50, "hello", thread="4"),
    "private_reaction_up": judged(PRIVATE, 70, Thumb.UP, "vote"),
    "private_reaction_changed": judged(PRIVATE, 70, Thumb.DOWN, "vote"),
    "private_reaction_taken": judged(PRIVATE, 70, Thumb.DOWN, "unvote"),
    "group_reaction_one_of_two": judged(GROUP, 71, Thumb.UP, "vote"),
    "group_reaction_anonymous": judged(
        GROUP, 71, Thumb.DOWN, "vote", user_id=GROUP, username="Engines"
    ),
}


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in PAYLOADS.glob("*.json"))
)
def test_each_payload_becomes_what_was_meant_for_the_agent_and_nothing_else(
    name: str,
) -> None:
    assert HEARD.get(name) == read(load(name), ME)


def test_start_is_answered_by_a_command_that_exists() -> None:
    inbound = read(load("private_start"), ME)

    assert inbound is not None
    assert parse_command(text_of(inbound)) is not None


def test_an_edit_names_the_turn_of_the_message_that_was_edited() -> None:
    first, edit = read(load("private_text"), ME), read(load("private_edited"), ME)

    assert first is not None
    assert edit is not None
    assert first.turn_id == edit.turn_id
