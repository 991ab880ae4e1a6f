"""What Discord shows as part of a message reaches the model in words, whatever is odd in it."""

from __future__ import annotations

from typing import Any

import pytest

from channels.discord.reading.content import PREVIEWED
from channels.discord.reading.message import read_message
from channels.discord.reading.places import Places
from channels.fields import QUOTED
from tests.support.platforms.discord import payload

ME, TOWN, DIRECT, ROLE, POST = "1", "20", "21", "77", "31"
BOB = payload("user", id="200", username="bob", global_name="Bob")
ROBOT = payload("user", id="300", username="robot", global_name=None, bot=True)


@pytest.fixture
def places() -> Places:
    places = Places()
    places.me = ME
    channel = {"id": TOWN, "type": 0, "name": "town"}
    post = {"id": POST, "type": 11, "guild_id": "10", "name": "How do I bake?"}
    places.learn("THREAD_CREATE", post)
    own = {"id": ROLE, "name": "agent", "tags": {"bot_id": ME}}
    roles = [own, {"id": "78", "name": "builders"}, {"id": "10", "name": "@everyone"}]
    places.learn("GUILD_CREATE", {"id": "10", "channels": [channel], "roles": roles})

    return places


def answered(content: str, **fields: Any) -> dict[str, Any]:
    message = payload("message", author=BOB, content=content) | fields
    return {"type": 19, "referenced_message": message}


def forwarded(**fields: Any) -> dict[str, Any]:
    return {"content": "", "message_snapshots": [{"message": fields}]}


def file(**fields: Any) -> dict[str, Any]:
    return {"attachments": [payload("attachment") | fields]}


POLL = {
    "question": {"text": "Lunch?"},
    "answers": [
        {"poll_media": {"text": "Pizza"}},
        {"poll_media": {"emoji": {"name": "🍲"}}},
        {"poll_media": None},
    ],
}
RESULT = {
    "type": "poll_result",
    "fields": [
        {"name": "poll_question_text", "value": "Lunch?"},
        {"name": "victor_answer_text", "value": "Pizza"},
        {"name": "victor_answer_votes", "value": "3"},
        {"name": "total_votes", "value": "4"},
    ],
}
PREVIEW = {
    "type": "article",
    "url": "https://example.org",
    "title": "A title",
    "description": "What it says",
}
LAID_OUT = [
    {
        "type": 17,
        "components": [
            {"type": 9, "components": [{"type": 10, "content": "Build failed"}]},
            {"type": 9, "component": {"type": 10, "content": "on main"}},
            {"type": 10, "content": None},
            {"type": 99},
        ],
    }
]

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "an answered message": (
        answered("What is 2+2?\nSay it."),
        "In reply to Bob:\n> What is 2+2?\n> Say it.\n\nhello",
    ),
    "a message of the agent that is answered": (
        answered("4", author=payload("user", id=ME, username="agent", bot=True)),
        "In reply to you:\n> 4\n\nhello",
    ),
    "a long message that is answered": (
        answered("x" * 5_000),
        f"In reply to Bob:\n> {'x' * QUOTED} …\n\nhello",
    ),
    "an answered file": (
        answered("", attachments=[payload("attachment")]),
        "In reply to Bob:\n> [image photo.jpg, 120 kB]\n\nhello",
    ),
    "an answered message that a program laid out": (
        answered("", author=ROBOT, components=LAID_OUT),
        "In reply to robot:\n> Build failed\n> on main\n\nhello",
    ),
    "an answered forward": (
        answered("", message_snapshots=[{"message": {"content": "look"}}]),
        "In reply to Bob:\n> Forwarded:\n> > look\n\nhello",
    ),
    "an answered message that is gone": (
        {"type": 19, "referenced_message": None},
        "hello",
    ),
    "a command in an answer": ({**answered("4"), "content": "/new"}, "/new"),
    "a forward": (forwarded(content="news"), "Forwarded:\n> news"),
    "a forwarded file": (
        forwarded(content="", attachments=[payload("attachment")]),
        "Forwarded:\n> [image photo.jpg, 120 kB]",
    ),
    "a forward of what a program laid out": (
        forwarded(content="", components=LAID_OUT),
        "Forwarded:\n> Build failed\n> on main",
    ),
    "a forward with a preview": (
        forwarded(content="", embeds=[{"type": "rich", "title": "Report"}]),
        "Forwarded:\n> [preview Report]",
    ),
    "a forward with a comment": (
        {**forwarded(content="news"), "content": "look"},
        "look\nForwarded:\n> news",
    ),
    "a forward of nothing readable": (forwarded(), "[forwarded message]"),
    "a poll": ({"content": "", "poll": POLL}, "[poll Lunch? (Pizza / 🍲)]"),
    "a question without answers": (
        {"content": "", "poll": {"question": {"text": "Lunch?"}, "answers": None}},
        "[poll Lunch?]",
    ),
    "a preview of a link": (
        {"content": "see https://example.org", "embeds": [PREVIEW]},
        "see https://example.org\n[preview A title · What it says]",
    ),
    "a long preview": (
        {"embeds": [{"title": "x" * 900}]},
        f"hello\n[preview {'x' * PREVIEWED}…]",
    ),
    "fields of a preview": (
        {
            "embeds": [
                {"author": {"name": "CI"}, "fields": [{"name": "job", "value": "7"}]}
            ]
        },
        "hello\n[preview CI · job: 7]",
    ),
    "a picture behind a link": ({"embeds": [{"type": "image"}]}, "hello"),
    "a sticker": (
        {"content": "", "sticker_items": [{"id": "1", "name": "Wave"}]},
        "[sticker Wave]",
    ),
    "a sticker without a name": ({"sticker_items": [{}]}, "hello\n[sticker]"),
    "a picture with a description": (
        file(description="a red door"),
        "hello\n[image photo.jpg, 120 kB: a red door]",
    ),
    "a file without a type": (
        file(content_type=None, size=None),
        "hello\n[file photo.jpg]",
    ),
    "a file without a name": (
        file(filename=None),
        "hello\n[image without a name, 120 kB]",
    ),
    "pictures with descriptions in a gallery": (
        {"components": [{"type": 12, "items": [{"description": "a cat"}]}]},
        "hello\n[image: a cat]",
    ),
    "a file between the texts": (
        {"components": [{"type": 13, "name": "a.pdf"}]},
        "hello\n[file a.pdf]",
    ),
    "a button beside a text": (
        {
            "components": [
                {
                    "type": 9,
                    "components": [{"type": 10, "content": "x"}],
                    "accessory": {"type": 2, "label": "Go", "url": "https://e.org"},
                }
            ]
        },
        "hello\nx\n[Go](https://e.org)",
    ),
    "a footer and a described picture of a preview": (
        {"embeds": [{"footer": {"text": "F"}, "image": {"description": "a cat"}}]},
        "hello\n[preview a cat · F]",
    ),
    "a voice message": (
        {
            "content": "",
            "flags": 1 << 13,
            **file(duration_secs=12.3, waveform="AA=="),
        },
        "[voice message, 12 s]",
    ),
    "a voice message without a length": (
        {"content": "", "flags": 1 << 13, **file(duration_secs="long")},
        "[voice message, 120 kB]",
    ),
    "a voice message of no length that there is": (
        {"content": "", "flags": 1 << 13, **file(duration_secs=float("inf"))},
        "[voice message, 120 kB]",
    ),
    "a file larger than any": (file(size=10**400), "hello\n[image photo.jpg]"),
    "a poll with votes": (
        {
            "content": "",
            "poll": {
                **POLL,
                "answers": [{"answer_id": 1, "poll_media": {"text": "Pizza"}}, {}],
                "results": {"answer_counts": [{"id": 1, "count": 3}, None]},
            },
        },
        "[poll Lunch? (Pizza, 3 votes)]",
    ),
    "the result of a poll that is answered": (
        answered("", type=46, embeds=[RESULT]),
        "In reply to Bob:\n> [result of the poll Lunch?: Pizza, 3 of 4 votes]\n\nhello",
    ),
    "a title that is a link": (
        {"embeds": [{"type": "rich", "title": "Bug 7", "url": "https://b.org/7"}]},
        "hello\n[preview [Bug 7](https://b.org/7)]",
    ),
    "a person in a preview": (
        {"embeds": [{"description": "by <@200>"}], "mentions": [BOB]},
        "hello\n[preview by @Bob]",
    ),
    "a person in a text that is laid out": (
        {"components": [{"type": 10, "content": "by <@200>"}], "mentions": [BOB]},
        "hello\nby @Bob",
    ),
    "menus and fields": (
        {
            "components": [
                {
                    "type": 3,
                    "placeholder": "Pick",
                    "options": [{"label": "A"}, {"label": "B"}, {}],
                },
                {"type": 21, "options": [{"label": "C"}]},
                {"type": 23, "label": "Agree"},
                {
                    "type": 18,
                    "label": "Name",
                    "description": "yours",
                    "component": {"type": 4, "value": "Bo"},
                },
                {"type": 5},
                {"type": 2, "emoji": {"name": "👍"}},
                {"type": 2},
                {"type": 11, "description": "a cat"},
            ]
        },
        "hello\n[choice Pick: A / B]\n[choice: C]\nAgree\nName: yours\nBo\n[button 👍]"
        "\n[image: a cat]",
    ),
    "a sound": (
        {"content": "", "soundboard_sounds": [{"name": "horn"}, {}]},
        "[sound horn]\n[sound]",
    ),
    "an invitation to play": (
        {"content": "", "activity": {"type": 1}, "application": {"name": "Chess"}},
        "[activity Chess]",
    ),
    "a theme": ({"content": "", "shared_client_theme": {"colors": []}}, "[theme]"),
    "pages of the server": (
        {"content": "<id:customize> <id:linked-roles:5> <id:x>"},
        "Channels & Roles Linked Roles <id:x>",
    ),
    "a forward from a channel": (
        {**forwarded(content="news"), "message_reference": {"channel_id": TOWN}},
        "Forwarded from #town:\n> news",
    ),
    "a channel of another server": (
        {
            "content": "in <#555>",
            "mention_channels": [{"id": "555", "name": "news"}],
        },
        "in #news",
    ),
    "a post in a forum": (
        {"id": POST, "channel_id": POST, "content": "<@1> see above"},
        "[post How do I bake?]\nsee above",
    ),
    "a post in a forum that is answered": (
        answered("I tried.", id=POST, channel_id=POST),
        "In reply to Bob:\n> [post How do I bake?]\n> I tried.\n\nhello",
    ),
    "a person": ({"content": "ask <@200>", "mentions": [BOB]}, "ask @Bob"),
    "a person under a nickname": (
        {"content": "ask <@!200>", "mentions": [{**BOB, "member": {"nick": "Bo"}}]},
        "ask @Bo",
    ),
    "a person that is not told of": ({"content": "ask <@200>"}, "ask <@200>"),
    "the agent": ({"content": "hey <@1>, you"}, "hey, you"),
    "the agent's role": ({"content": f"<@&{ROLE}> hello"}, "hello"),
    "a role": ({"content": "for <@&78>"}, "for @builders"),
    "a channel": ({"content": f"in <#{TOWN}>"}, "in #town"),
    "a channel that is not told of": ({"content": "in <#99>"}, "in <#99>"),
    "an emoji of the server": ({"content": "yes <a:party:55>!"}, "yes :party:!"),
    "a command by name": ({"content": "use </model set:5>"}, "use /model set"),
    "a time": ({"content": "at <t:1618953630:R>"}, "at 2021-04-20 21:20 UTC"),
    "a time that is none": ({"content": "<t:999999999999>"}, "<t:999999999999>"),
    "code": (
        {"content": "`<@200>` is an id", "mentions": [BOB]},
        "`<@200>` is an id",
    ),
    "code in a fence": ({"content": "```\n<:x:5>\n```"}, "```\n<:x:5>\n```"),
    "only a mention": ({"content": "<@1>"}, ""),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_people_see_is_what_the_model_reads(places: Places, name: str) -> None:
    fields, expected = SHOWN[name]
    message = payload("message", content="hello", channel_id=DIRECT)
    said = read_message(message | fields, places)

    assert said is not None
    assert expected == said.text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"content": "hello <@1>"}, True),
        ({"content": "hello <@!1>"}, True),
        ({"content": f"hello <@&{ROLE}>"}, True),
        ({"mentions": [{"id": ME}]}, True),
        (answered("x", author={"id": ME}), True),
        (answered("x"), False),
        ({}, False),
        ({"content": "hello <@200>", "mentions": [BOB]}, False),
        ({"content": "hello <@11>"}, False),
    ],
)
def test_in_a_channel_it_must_be_addressed(
    places: Places, fields: dict[str, Any], expected: bool
) -> None:
    message = payload("message", guild_id="10", channel_id=TOWN) | fields

    assert expected is (read_message(message, places) is not None)


@pytest.mark.parametrize(
    ("kind", "event", "expected"),
    [
        ("THREAD_CREATE", {"owner_id": ME}, True),
        ("THREAD_CREATE", {"member": {"id": "30"}}, True),
        ("THREAD_CREATE", {"owner_id": "200"}, False),
        ("THREAD_UPDATE", {"type": 99}, False),
        ("THREAD_MEMBERS_UPDATE", {"added_members": [None, {"user_id": ME}]}, True),
        ("THREAD_MEMBERS_UPDATE", {"added_members": [{"user_id": "200"}]}, False),
        ("THREAD_MEMBER_UPDATE", {"user_id": ME}, True),
        (
            "THREAD_LIST_SYNC",
            {"threads": [{"id": "30", "type": 11}], "members": [{"id": "30"}]},
            True,
        ),
        (
            "GUILD_CREATE",
            {"threads": [None, {"id": "30", "type": 12, "member": {"flags": 0}}]},
            True,
        ),
    ],
)
def test_it_takes_part_in_a_thread_that_it_began_or_joined(
    places: Places, kind: str, event: dict[str, Any], expected: bool
) -> None:
    places.learn(kind, {"id": "30", "type": 11, "guild_id": "10"} | event)
    message = payload("message", guild_id="10", channel_id="30")

    assert expected is (read_message(message, places) is not None)


def test_it_leaves_a_thread_that_it_is_removed_from_and_stays_through_an_update(
    places: Places,
) -> None:
    thread = {"id": "30", "type": 11, "guild_id": "10"}
    message = payload("message", guild_id="10", channel_id="30")
    places.learn("THREAD_CREATE", {**thread, "member": {"flags": 0}})
    places.learn("THREAD_UPDATE", thread)
    before = read_message(message, places)
    places.learn("THREAD_MEMBERS_UPDATE", {"id": "30", "removed_member_ids": [ME]})

    assert before is not None
    assert read_message(message, places) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"author": ROBOT},
        {"author": {"id": ME}},
        {"webhook_id": "5"},
        {"type": 6},
        {"type": 46},
    ],
)
def test_programs_and_notices_are_ignored(
    places: Places, fields: dict[str, Any]
) -> None:
    message = payload("message", channel_id=DIRECT)

    assert read_message(message | fields, places) is None


@pytest.mark.parametrize("field", ["id", "channel_id", "author"])
@pytest.mark.parametrize("odd", [None, {}, "x", "1\0", True, -1, 1.5, "9" * 21])
def test_without_an_id_a_message_cannot_be_read(
    places: Places, field: str, odd: object
) -> None:
    fields = {"author": {"id": odd}} if field == "author" else {field: odd}
    with pytest.raises(ValueError, match="no id"):
        read_message(payload("message") | fields, places)
