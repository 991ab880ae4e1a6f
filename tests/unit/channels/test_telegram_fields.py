"""Each field of a message of Telegram (Bot API 10.1) says something to the model, or is known
to hold no words of a person.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.telegram_messages import ADA, BOB, GROUP, heard

PICTURE = [{"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}]
STORY = {"chat": {"id": -5, "title": "News", "type": "channel"}, "id": 3}
TASKS = {
    "title": "Trip",
    "tasks": [{"id": 4, "text": "Pack"}, {"id": 5, "text": "Go"}],
}
POLL = {
    "question": "Tea?",
    "options": [
        {"persistent_id": "a", "text": "yes"},
        {"persistent_id": "b", "text": "no"},
    ],
}


def rich(*blocks: Any) -> dict[str, Any]:
    return {"rich_message": {"blocks": list(blocks)}}


def paragraph(text: Any) -> dict[str, Any]:
    return {"type": "paragraph", "text": text}


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"text": "hello"}, "hello"),
    "caption": ({"caption": "hello", "photo": []}, "hello\n[image photo.jpg]"),
    "forward_origin": (
        {"text": "hi", "forward_origin": {"type": "user", "sender_user": BOB}},
        "Forwarded from Bob Byte:\n> hi",
    ),
    "reply_to_message": (
        {"text": "why?", "reply_to_message": {"from": BOB, "text": "No."}},
        "In reply to Bob Byte:\n> No.\n\nwhy?",
    ),
    "external_reply": (
        {
            "text": "why?",
            "external_reply": {"origin": {"sender_user": BOB}, "photo": []},
        },
        "In reply to Bob Byte:\n> [image photo.jpg]\n\nwhy?",
    ),
    "quote": (
        {
            "text": "why?",
            "quote": {"text": "N"},
            "reply_to_message": {"from": BOB, "text": "No."},
        },
        "In reply to Bob Byte:\n> N\n\nwhy?",
    ),
    "reply_to_story": (
        {"text": "nice", "reply_to_story": STORY},
        "In reply:\n> [story News]\n\nnice",
    ),
    "reply_to_checklist_task_id": (
        {
            "text": "done?",
            "reply_to_checklist_task_id": 5,
            "reply_to_message": {"from": BOB, "checklist": TASKS},
        },
        "In reply to Bob Byte:\n> Go\n\ndone?",
    ),
    "reply_to_poll_option_id": (
        {
            "text": "why?",
            "reply_to_poll_option_id": "b",
            "reply_to_message": {"from": BOB, "poll": POLL},
        },
        "In reply to Bob Byte:\n> no\n\nwhy?",
    ),
    "animation": ({"animation": {}}, "[animation]"),
    "audio": ({"audio": {"title": "Song"}}, "[audio Song]"),
    "document": ({"document": {"file_name": "a.pdf"}}, "[file a.pdf]"),
    "live_photo": ({"live_photo": {"photo": PICTURE}}, "[image photo.jpg]"),
    "paid_media": ({"paid_media": {"paid_media": [{}]}}, "[paid media, 1]"),
    "photo": ({"photo": PICTURE}, "[image photo.jpg]"),
    "sticker": ({"sticker": {"emoji": "👋"}}, "[sticker 👋]"),
    "story": ({"story": STORY}, "[story News]"),
    "video": ({"video": {}}, "[video]"),
    "video_note": ({"video_note": {}}, "[video]"),
    "voice": ({"voice": {}}, "[voice message]"),
    "checklist": ({"checklist": TASKS}, "[checklist Trip]\n- [ ] Pack\n- [ ] Go"),
    "contact": ({"contact": {"first_name": "Cy"}}, "[contact Cy]"),
    "dice": ({"dice": {"emoji": "🎲", "value": 6}}, "[dice 🎲 6]"),
    "game": ({"game": {"title": "Chess"}}, "[game Chess]"),
    "poll": ({"poll": POLL}, "[poll Tea?]\n- yes\n- no"),
    "venue": ({"venue": {"title": "Café"}}, "[place Café]"),
    "location": (
        {"location": {"latitude": 1.5, "longitude": 2}},
        "[location 1.5, 2]",
    ),
    "invoice": ({"invoice": {"title": "Tea"}}, "[invoice Tea]"),
    "giveaway": ({"giveaway": {"prize_description": "Tea"}}, "[giveaway Tea]"),
    "giveaway_winners": ({"giveaway_winners": {}}, "[giveaway]"),
    "web_app_data": (
        {"web_app_data": {"button_text": "Order", "data": "tea"}},
        "[web app Order, tea]",
    ),
    "rich_message": (
        rich(
            {"type": "heading", "text": "Plan", "size": 1},
            paragraph(["See ", {"type": "bold", "text": ["the ", "guide"]}, "."]),
            paragraph({"type": "url", "text": "here", "url": "https://e.org"}),
            {
                "type": "list",
                "items": [{"label": "1.", "blocks": [paragraph("one")]}],
            },
            {"type": "table", "cells": [[{"text": "a"}, {"text": "b"}]]},
            {"type": "details", "summary": "more", "blocks": [paragraph("deep")]},
            {"type": "mathematical_expression", "expression": "a^2"},
            {"type": "photo", "photo": PICTURE, "caption": {"text": "us"}},
            {"type": "blockquote", "blocks": [paragraph("so")], "credit": "Bob"},
            paragraph({"type": "custom_emoji", "alternative_text": "👋"}),
        ),
        "Plan\nSee the guide.\n[here](https://e.org)\n1.\none\na | b\nmore\ndeep\na^2\n"
        "[image]\nus\nso\nBob\n👋",
    ),
}


def _names(listed: str) -> list[str]:
    return listed.split()


ABOUT = _names(
    """
    message_id message_thread_id direct_messages_topic from sender_chat sender_boost_count
    sender_business_bot sender_tag date guest_query_id business_connection_id chat
    is_topic_message is_automatic_forward via_bot guest_bot_caller_user
    guest_bot_caller_chat edit_date has_protected_content is_from_offline is_paid_post
    media_group_id author_signature paid_star_count entities link_preview_options
    suggested_post_info effect_id caption_entities show_caption_above_media
    has_media_spoiler reply_markup
    """
)
"""Fields that say something about a message, not what it says."""

SERVICE = _names(
    """
    new_chat_members left_chat_member chat_owner_left chat_owner_changed new_chat_title
    new_chat_photo delete_chat_photo group_chat_created supergroup_chat_created
    channel_chat_created message_auto_delete_timer_changed migrate_to_chat_id
    migrate_from_chat_id pinned_message successful_payment refunded_payment users_shared
    chat_shared gift unique_gift gift_upgrade_sent connected_website write_access_allowed
    passport_data proximity_alert_triggered boost_added chat_background_set
    checklist_tasks_done checklist_tasks_added direct_message_price_changed
    forum_topic_created forum_topic_edited forum_topic_closed forum_topic_reopened
    general_forum_topic_hidden general_forum_topic_unhidden giveaway_created
    giveaway_completed managed_bot_created paid_message_price_changed poll_option_added
    poll_option_deleted suggested_post_approved suggested_post_approval_failed
    suggested_post_declined suggested_post_paid suggested_post_refunded
    video_chat_scheduled video_chat_started video_chat_ended
    video_chat_participants_invited
    """
)
"""Notes of Telegram about the chat."""


@pytest.mark.parametrize("field", SAID)
def test_a_field_with_words_reaches_the_model(field: str) -> None:
    fields, expected = SAID[field]

    assert field in fields
    assert heard(**fields) == expected


@pytest.mark.parametrize("field", SERVICE)
@pytest.mark.parametrize("value", [True, 7, "x", [{}], {"text": "x", "name": "x"}])
def test_a_note_of_telegram_is_no_question(field: str, value: Any) -> None:
    assert heard(**{field: value}) is None


@pytest.mark.parametrize("field", ABOUT)
def test_what_only_describes_a_message_hides_none_of_its_words(field: str) -> None:
    if field not in ("from", "chat", "message_id", "is_automatic_forward"):
        assert heard(text="hello", **{field: {"id": 7}}) == "hello"


def test_each_field_stands_in_one_table() -> None:
    tables = [*SAID, *ABOUT, *SERVICE]

    assert sorted(set(tables)) == sorted(tables)
    assert len(tables) == 115


def test_a_mention_in_a_rich_message_is_a_mention() -> None:
    mention = {"type": "mention", "text": "@agent_bot", "username": "agent_bot"}
    words = paragraph(["👋 ", mention, " why?"])

    assert heard(chat=GROUP, **rich(words)) == "👋 why?"
    assert heard(chat=GROUP, **rich(paragraph("talk of others"))) is None


def test_a_rich_message_that_is_answered_is_quoted() -> None:
    answered = {"from": BOB, **rich(paragraph("Tea."))}

    assert heard(text="why?", reply_to_message=answered) == (
        "In reply to Bob Byte:\n> Tea.\n\nwhy?"
    )


@pytest.mark.parametrize(
    "odd",
    [7, None, [], {"blocks": 7}, {"blocks": [7, {"text": 7}, {"cells": [7, [7]]}]}],
)
def test_an_odd_rich_message_hides_nothing_else(odd: Any) -> None:
    assert heard(rich_message=odd, photo=PICTURE) == "[image photo.jpg]"
    assert heard(rich_message=odd, **{"from": ADA}) is None
