"""What Discord has sent, or may send tomorrow, that a strict reader stumbles over."""

from __future__ import annotations

from typing import Any

_NEVER_ENDING = {
    "question": {"text": "Lunch?"},
    "answers": [{"answer_id": 1, "poll_media": {"text": "Pizza"}}],
    "expiry": None,
    "allow_multiselect": False,
    "layout_type": 1,
}

ODD_FIELDS: dict[str, dict[str, Any]] = {
    "a poll that never ends": {"poll": _NEVER_ENDING},
    "a poll that is none": {"poll": 5},
    "a poll of nulls": {"poll": {"question": None, "answers": [None, {}]}},
    "no list of embeds": {"embeds": None},
    "embeds that are none": {"embeds": [None, 5, {"type": []}, {"fields": {}}]},
    "an embed without a colour": {"embeds": [{"type": "rich", "color": "red"}]},
    "no list of attachments": {"attachments": None},
    "attachments that are none": {"attachments": [None, 7]},
    "no list of mentions": {"mentions": None},
    "mentions that are none": {"mentions": [None, {}, {"id": []}]},
    "no list of roles": {"mention_roles": None},
    "no list of components": {"components": None},
    "a new component": {"components": [{"type": 99, "components": 3}]},
    "no list of stickers": {"sticker_items": None},
    "stickers that are none": {"sticker_items": [None, "wave"]},
    "a new format of stickers": {"sticker_items": [{"format_type": 99}]},
    "a new type of message": {"type": 99},
    "no type of message": {"type": None},
    "a type that is none": {"type": ["default"]},
    "no flags": {"flags": None},
    "flags that are none": {"flags": "many"},
    "no time": {"timestamp": None},
    "a time that is none": {"timestamp": "yesterday"},
    "a time of an edit that is none": {"edited_timestamp": 7},
    "a reference that is none": {"message_reference": 5},
    "a reference without a channel": {"message_reference": {"message_id": "5"}},
    "an answered message that is none": {"referenced_message": 5, "type": 19},
    "an answered message of nulls": {"referenced_message": {"author": None}},
    "no list of forwards": {"message_snapshots": None},
    "forwards that are none": {"message_snapshots": [None, {"message": None}]},
    "reactions that are none": {"reactions": [{"emoji": None}]},
    "a thread that is none": {"thread": {}},
    "an interaction that is none": {"interaction_metadata": {"type": "x"}},
    "a purchase that is none": {"purchase_notification": {}, "call": {}},
    "a subscription that is none": {"role_subscription_data": {}},
    "a webhook that is null": {"webhook_id": None},
    "an application that is none": {"application": {}, "activity": 9},
    "a new type of channel": {"channel_type": 99},
    "no pin": {"pinned": None, "tts": None, "mention_everyone": None},
    "a field that nobody knows": {"shared_theme": {"colors": [1]}},
}
"""Fields of a message in a direct chat that says "hello": it says so with all of them."""

ODD_AUTHORS: dict[str, dict[str, Any]] = {
    "no picture": {"avatar": ...},
    "a picture that is none": {"avatar": 5},
    "no discriminator": {"discriminator": ...},
    "no name": {"username": ..., "global_name": None},
    "a name that is none": {"global_name": ["Ada"], "username": 7},
    "no flags": {"public_flags": None, "flags": ...},
    "a decoration that is none": {"avatar_decoration_data": {}},
    "a guild tag that is none": {"primary_guild": 3, "collectibles": []},
    "a mark of bots that is none": {"bot": None, "system": "no"},
    "a number for an id": {"id": 100},
}
"""Fields of an author; `...` stands for one that is missing."""

ODD_EVENTS: dict[str, tuple[Any, Any]] = {
    "a session without a name": ("READY", {"v": 10}),
    "a session that is none": ("READY", None),
    "a resume that is none": ("RESUMED", None),
    "a server without its lists": (
        "GUILD_CREATE",
        {
            "id": "10",
            "channels": None,
            "threads": 5,
            "roles": {},
        },
    ),
    "a server of nulls": (
        "GUILD_CREATE",
        {
            "id": "10",
            "channels": [None, {}, {"id": "78", "type": 99, "status": 1}],
            "threads": [{}],
            "roles": [None],
        },
    ),
    "a channel without an id": ("CHANNEL_CREATE", {"type": 0}),
    "a channel of a new type": ("CHANNEL_CREATE", {"id": "77", "type": 99}),
    "a channel that is none": ("CHANNEL_UPDATE", "town"),
    "a thread that is none": ("THREAD_CREATE", []),
    "members of a thread that are none": (
        "THREAD_MEMBERS_UPDATE",
        {"id": None, "added_members": [None, {}], "removed_member_ids": 5},
    ),
    "a list of threads that is none": ("THREAD_LIST_SYNC", {"threads": None}),
    "a role that is none": ("GUILD_ROLE_CREATE", {"role": None}),
    "a message that is none": ("MESSAGE_CREATE", None),
    "a message without an author": ("MESSAGE_CREATE", {"id": "5", "channel_id": "6"}),
    "an edit that is none": ("MESSAGE_UPDATE", {"edited_timestamp": "now"}),
    "a deletion that is none": ("MESSAGE_DELETE", {}),
    "deletions that are none": ("MESSAGE_DELETE_BULK", {"ids": None}),
    "a reaction without an emoji": ("MESSAGE_REACTION_ADD", {"emoji": None}),
    "a reaction without a flag": (
        "MESSAGE_REACTION_ADD",
        {"emoji": {"id": "7", "name": "x"}},
    ),
    "a command without data": ("INTERACTION_CREATE", {"type": 2, "data": None}),
    "an interaction that is none": ("INTERACTION_CREATE", 5),
    "a vote in a poll": ("MESSAGE_POLL_VOTE_ADD", {"answer_id": None}),
    "an event of tomorrow": ("COMPANION_CREATE", {"id": 1}),
    "an event with an odd name": (["MESSAGE_CREATE"], {}),
    "an event without a name": (None, {}),
}

ODD_FRAMES: dict[str, Any] = {
    "no JSON": '{"op": 0, "t": ',
    "a list": [1, 2],
    "a number": 5,
    "nothing": None,
    "no fields": {},
    "a code of tomorrow": {"op": 99, "d": None},
    "a code that is none": {"op": "event", "d": {}},
    "a number of events that is none": {
        "op": 0,
        "t": "TYPING_START",
        "s": "x",
        "d": {},
    },
    "a greeting without an interval": {"op": 10, "d": {}},
}
