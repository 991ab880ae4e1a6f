"""What Telegram shows as part of a message reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.messages import Edited, Said
from channels.telegram.updates import read
from tests.support.inbound import text_of
from tests.support.telegram_messages import ADA, AGENT, BOB, GROUP, ME, heard

PLACE = {"latitude": 52.5186, "longitude": 13.3763}
OPTIONS = [{"text": "tea", "voter_count": 2}, {"text": "coffee", "voter_count": 0}]


def link(offset: int, length: int, url: str) -> dict[str, Any]:
    return {"type": "text_link", "offset": offset, "length": length, "url": url}


def looks(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


GUIDE = "https://example.org/guide"
SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "a link behind a word": (
        {"text": "see the guide", "entities": [link(8, 5, GUIDE)]},
        f"see the [guide]({GUIDE})",
    ),
    "a link behind a word of a caption": (
        {"caption": "👋 guide", "caption_entities": [link(3, 5, GUIDE)], "photo": []},
        f"👋 [guide]({GUIDE})\n[image photo.jpg]",
    ),
    "two links": (
        {"text": "a b", "entities": [link(0, 1, GUIDE), link(2, 1, GUIDE)]},
        f"[a]({GUIDE}) [b]({GUIDE})",
    ),
    "links that overlap": (
        {"text": "abc", "entities": [link(0, 2, GUIDE), link(1, 2, GUIDE)]},
        f"a[bc]({GUIDE})",
    ),
    "an address as its own words": (
        {"text": GUIDE, "entities": [link(0, 25, GUIDE)]},
        GUIDE,
    ),
    "links of any kind": (
        {
            "text": "pay or call or see",
            "entities": [
                link(0, 3, "ton://transfer/a"),
                link(7, 4, "tel:+49123"),
                link(15, 3, "HTTPS://example.org"),
            ],
        },
        "[pay](ton://transfer/a) or [call](tel:+49123) or [see](HTTPS://example.org)",
    ),
    "a link in what is answered": (
        {
            "text": "why?",
            "reply_to_message": {
                "from": BOB,
                "text": "see the guide",
                "entities": [link(8, 5, GUIDE)],
            },
        },
        f"In reply to Bob Byte:\n> see the [guide]({GUIDE})\n\nwhy?",
    ),
    "a link in a quotation": (
        {
            "text": "why?",
            "reply_to_message": {"from": BOB, "text": "see the guide"},
            "quote": {"text": "the guide", "entities": [link(4, 5, GUIDE)]},
        },
        f"In reply to Bob Byte:\n> the [guide]({GUIDE})\n\nwhy?",
    ),
    "a reply to a file with a caption": (
        {
            "text": "why?",
            "reply_to_message": {
                "from": BOB,
                "caption": "the plan",
                "document": {"file_name": "a.pdf"},
            },
        },
        "In reply to Bob Byte:\n> the plan\n> [file a.pdf]\n\nwhy?",
    ),
    "a reply to a forward": (
        {
            "text": "why?",
            "reply_to_message": {
                "from": BOB,
                "text": "Hi.",
                "forward_origin": {"type": "user", "sender_user": ADA},
            },
        },
        "In reply to Bob Byte:\n> Forwarded from Ada:\n> > Hi.\n\nwhy?",
    ),
    "struck words": (
        {"text": "buy milk eggs", "entities": [looks("strikethrough", 4, 4)]},
        "buy ~~milk~~ eggs",
    ),
    "a quotation in the text, with a link": (
        {
            "text": "👋\nthe guide\nsays\nwhy?",
            "entities": [looks("blockquote", 3, 14), link(7, 5, GUIDE)],
        },
        f"👋\n> the [guide]({GUIDE})\n> says\nwhy?",
    ),
    "a quotation that is folded": (
        {"text": "a\nb", "entities": [looks("expandable_blockquote", 0, 3)]},
        "> a\n> b",
    ),
    "code with a language, and a link after it": (
        {
            "text": "x = 1\nsee guide",
            "entities": [looks("pre", 0, 5, language="py"), link(10, 5, GUIDE)],
        },
        f"```py\nx = 1\n```\nsee [guide]({GUIDE})",
    ),
    "code with a fence in it": (
        {"text": "```", "entities": [looks("pre", 0, 3)]},
        "```",
    ),
    "bold, which says nothing more": (
        {"text": "a b", "entities": [looks("bold", 0, 1), looks("spoiler", 2, 1)]},
        "a b",
    ),
    "struck words among odd marks": (
        {
            "text": "buy milk",
            "entities": [7, {"type": "pre"}, looks("strikethrough", 4, 4)],
        },
        "buy ~~milk~~",
    ),
    "a reply to a person": (
        {
            "text": "is it?",
            "reply_to_message": {"from": BOB, "text": "Tea is\nbetter."},
        },
        "In reply to Bob Byte:\n> Tea is\n> better.\n\nis it?",
    ),
    "a reply to a picture": (
        {"text": "who?", "reply_to_message": {"from": BOB, "photo": [{}]}},
        "In reply to Bob Byte:\n> [image photo.jpg]\n\nwho?",
    ),
    "a quotation of a person": (
        {
            "text": "why?",
            "reply_to_message": {"from": BOB, "text": "Tea is better."},
            "quote": {"text": "better", "position": 7},
        },
        "In reply to Bob Byte:\n> better\n\nwhy?",
    ),
    "a reply to the agent": (
        {"text": "why?", "reply_to_message": {"from": AGENT, "text": "Tea."}},
        "In reply to you:\n> Tea.\n\nwhy?",
    ),
    "a reply to the agent, which calls it in a group": (
        {
            "chat": GROUP,
            "text": "why?",
            "reply_to_message": {"from": AGENT, "text": "Tea."},
        },
        "why?",
    ),
    "a quotation of the agent": (
        {
            "text": "why?",
            "reply_to_message": {"from": AGENT, "text": "Tea is better."},
            "quote": {"text": "better", "position": 7},
        },
        "In reply to you:\n> better\n\nwhy?",
    ),
    "a reply across chats": (
        {
            "text": "true?",
            "external_reply": {
                "origin": {"type": "channel", "chat": {"title": "News"}},
                "poll": {"question": "Tea?", "options": OPTIONS},
            },
        },
        "In reply to News:\n> [poll Tea?]\n> - tea\n> - coffee\n\ntrue?",
    ),
    "a forward of a person": (
        {"text": "Hi.", "forward_origin": {"type": "user", "sender_user": BOB}},
        "Forwarded from Bob Byte:\n> Hi.",
    ),
    "a forward of someone hidden": (
        {
            "text": "Hi.",
            "forward_origin": {"type": "hidden_user", "sender_user_name": "Eve"},
        },
        "Forwarded from Eve:\n> Hi.",
    ),
    "a forward of a channel": (
        {
            "caption": "Hi.",
            "document": {"file_name": "a.pdf"},
            "forward_origin": {"type": "channel", "chat": {"title": "News"}},
        },
        "Forwarded from News:\n> Hi.\n> [file a.pdf]",
    ),
    "a forward of a group": (
        {
            "text": "Hi.",
            "forward_origin": {"type": "chat", "sender_chat": {"title": "Town"}},
        },
        "Forwarded from Town:\n> Hi.",
    ),
    "a forwarded command is no command": (
        {"text": "/new", "forward_origin": {"type": "user", "sender_user": BOB}},
        "Forwarded from Bob Byte:\n> /new",
    ),
    "a path is no command": (
        {"text": "/etc/hosts?", "reply_to_message": {"from": BOB, "text": "Hi."}},
        "In reply to Bob Byte:\n> Hi.\n\n/etc/hosts?",
    ),
    "a command in reply": (
        {"text": "/usage", "reply_to_message": {"from": BOB, "text": "Hi."}},
        "/usage",
    ),
    "a poll": (
        {"poll": {"question": "Tea?", "options": OPTIONS}},
        "[poll Tea?]\n- tea\n- coffee",
    ),
    "a poll with a description": (
        {"poll": {"question": "Tea?", "description": "For May.", "options": OPTIONS}},
        "[poll Tea?, For May.]\n- tea\n- coffee",
    ),
    "a quiz": (
        {"poll": {"question": "Tea?", "type": "quiz", "options": OPTIONS}},
        "[quiz Tea?]\n- tea\n- coffee",
    ),
    "a checklist": (
        {
            "checklist": {
                "title": "Trip",
                "tasks": [
                    {"id": 1, "text": "pack", "completion_date": 1764000000},
                    {"id": 2, "text": "go", "completion_date": 0},
                ],
            }
        },
        "[checklist Trip]\n- [x] pack\n- [ ] go",
    ),
    "a location": ({"location": PLACE}, "[location 52.5186, 13.3763]"),
    "a live location": (
        {"location": {**PLACE, "live_period": 60}},
        "[live location 52.5186, 13.3763]",
    ),
    "a venue": (
        {
            "location": PLACE,
            "venue": {
                "title": "Reichstag",
                "address": "Platz der Republik 1",
                "location": PLACE,
            },
        },
        "[place Reichstag, Platz der Republik 1, 52.5186, 13.3763]",
    ),
    "a contact": (
        {"contact": {"first_name": "Bob", "last_name": "Byte", "phone_number": "+1"}},
        "[contact Bob Byte, +1]",
    ),
    "dice": ({"dice": {"emoji": "🎲", "value": 4}}, "[dice 🎲 4]"),
    "a game": (
        {"game": {"title": "Snake", "description": "Eat.", "photo": []}},
        "[game Snake, Eat.]",
    ),
    "an invoice": (
        {"invoice": {"title": "Tea", "description": "1 kg"}},
        "[invoice Tea, 1 kg]",
    ),
    "a sticker": ({"sticker": {"emoji": "😀"}}, "[sticker 😀]"),
    "a story": ({"story": {"chat": {"title": "News"}}}, "[story News]"),
    "a song": (
        {"audio": {"performer": "Nina", "title": "Feeling"}},
        "[audio Nina: Feeling]",
    ),
    "paid media": ({"paid_media": {"star_count": 1}}, "[paid media]"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_what_people_see_is_what_the_model_reads(name: str) -> None:
    fields, expected = SHOWN[name]

    assert expected == heard(**fields)


@pytest.mark.parametrize(
    "field",
    [
        "venue",
        "location",
        "contact",
        "poll",
        "checklist",
        "dice",
        "game",
        "sticker",
        "document",
        "voice",
        "photo",
    ],
)
@pytest.mark.parametrize("odd", [7, "x", [], [None], {}, {"options": 7, "tasks": 7}])
def test_what_is_odd_is_still_named(field: str, odd: Any) -> None:
    """Nobody is told that they sent nothing."""
    assert (heard(**{field: odd}) or "").startswith("[")


def test_a_quotation_is_bounded() -> None:
    shown = heard(text="?", reply_to_message={"from": BOB, "text": "x" * 4096})

    assert shown is not None
    assert len(shown) < 1_100
    assert shown.endswith("x …\n\n?")


def test_a_long_poll_is_bounded() -> None:
    options = [{"text": f"option {number}"} for number in range(200)]
    shown = heard(poll={"question": "?", "options": options})

    assert (shown or "").endswith("- option 49\n- and 150 more")


def test_a_mention_is_found_where_its_mark_cannot_be_read() -> None:
    """Among marks of another form, the name in the text counts."""
    shown = heard(
        chat=GROUP,
        text="👋 @Agent_Bot what is a turn?",
        entities=[{"type": "mention", "offset": "3", "length": 10}],
    )

    assert shown == "👋 what is a turn?"
    assert heard(chat=GROUP, text="@agent_bot_2 hi", entities=[7]) is None
    assert heard(chat=GROUP, text="`@agent_bot`") is None


def test_a_bare_mention_in_reply_is_about_what_it_replies_to() -> None:
    mention = {"type": "mention", "offset": 0, "length": 10}
    shown = heard(
        chat=GROUP,
        text="@agent_bot",
        entities=[mention],
        reply_to_message={"from": BOB, "text": "Is tea better?"},
    )

    assert shown == "In reply to Bob Byte:\n> Is tea better?"
    assert heard(chat=GROUP, text="@agent_bot", entities=[mention]) == ""


def test_a_post_in_a_channel_that_mentions_the_agent_is_for_it() -> None:
    """Nobody is told but the channel, also where a person signs it."""
    channel = {"id": -5, "type": "channel", "title": "News"}
    post = {
        "message_id": 1,
        "chat": channel,
        "sender_chat": channel,
        "author_signature": "Ada",
        "text": "@agent_bot what is new?",
        "entities": [{"type": "mention", "offset": 0, "length": 10}],
    }
    said = read({"channel_post": post}, ME)
    edited = read({"edited_channel_post": post}, ME)

    assert isinstance(said, Said)
    assert isinstance(edited, Edited)
    assert (said.user_id, said.username, said.direct) == ("-5", "News", False)
    assert said.text == edited.text == "what is new?"
    assert read({"channel_post": {**post, "entities": []}}, ME) is None


def test_an_album_is_meant_as_its_caption_is() -> None:
    """In a group only one of its pictures has the caption with the mention."""
    known: dict[str, str] = {}

    def part(number: int, group: str, **fields: Any) -> Any:
        message = {"message_id": number, "chat": GROUP, "from": ADA, "photo": [{}]}
        update = {"message": message | {"media_group_id": group} | fields}
        return read(update, ME, known)

    mention = {"type": "mention", "offset": 0, "length": 10}
    caption = {"caption": "@agent_bot which?", "caption_entities": [mention]}
    album = [part(1, "a", **caption), part(2, "a"), part(3, "a")]

    assert [text_of(one) for one in album] == [
        "which?\n[image photo.jpg]",
        "[image photo.jpg]",
        "[image photo.jpg]",
    ]
    assert all(one.more_follows for one in album)
    assert part(4, "b") is None


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "and the end"), (1, "and the end"), (9, None)]
)
def test_the_rest_of_a_cut_text_in_a_group_is_for_the_agent_too(
    seconds: int, told: str | None
) -> None:
    """Only the first part holds the mention."""
    known: dict[str, str] = {}

    def part(number: int, text: str, **fields: Any) -> Any:
        message = {"message_id": number, "chat": GROUP, "from": ADA, "text": text}
        return read({"message": message | fields}, ME, known)

    mention = {"type": "mention", "offset": 0, "length": 10}
    first = part(1, "@agent_bot " + "a" * 4000, entities=[mention], date=100)
    rest = part(2, "and the end", entities=[], date=100 + seconds)

    assert (rest and rest.text) == told
    assert rest is None or first.part_of == rest.part_of != ""
    assert part(3, "talk of others", entities=[], date=200) is None
