"""What Slack shows as part of a message reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from channels.slack.incoming.content import around, words

SHARED = {
    "is_share": True,
    "author_name": "Bob",
    "text": "Tea is\nbetter.",
    "from_url": "https://team.slack.com/archives/C1/p1",
    "fallback": "[1] Bob: Tea",
}
PREVIEW = {"from_url": "https://example.org", "title": "Example", "text": "A page."}


def rich(*elements: Any) -> dict[str, Any]:
    section = {"type": "rich_text_section", "elements": list(elements)}
    return {"type": "rich_text", "elements": [section]}


def button(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, **fields}


DOCUMENT, GONE = "[canvas without a name]", "[deleted file]"
LAID_OUT = {
    "message_blocks": [
        {"message": {"blocks": [rich({"text": "Build 7 failed: timeout"})]}}
    ]
}
SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "a date in blocks": (
        {"blocks": [rich({"type": "date", "timestamp": 1, "fallback": "July 11"})]},
        "July 11",
    ),
    "a group of people in blocks": (
        {"blocks": [rich({"type": "usergroup", "usergroup_id": "S1"})]},
        "<!subteam^S1>",
    ),
    "a table": (
        {
            "blocks": [
                {
                    "type": "table",
                    "rows": [
                        [{"type": "raw_text", "text": "a"}, rich({"text": "b"})],
                        [{"type": "raw_text", "text": "c"}, None],
                        7,
                    ],
                }
            ]
        },
        "a | b\nc",
    ),
    "a video": (
        {"blocks": [{"type": "video", "title": {"text": "V"}, "alt_text": "alt"}]},
        "V\nalt",
    ),
    "a picture with a title": (
        {"blocks": [{"type": "image", "title": {"text": "T"}, "alt_text": "a cat"}]},
        "T\na cat",
    ),
    "a card of parts": (
        {
            "blocks": [
                {"type": "card", "title": {"text": "A"}, "body": {"text": "B"}},
                {"type": "plan", "title": "P", "tasks": [{"title": "t"}]},
                {"type": "call", "call": {"v1": {"name": "Standup"}}},
            ]
        },
        "A\nB\nP\nt\nStandup",
    ),
    "what is said in a recording": (
        {
            "text": "",
            "files": [
                {
                    "name": "a.m4a",
                    "mimetype": "audio/mp4",
                    "transcription": {"preview": {"content": "hello there"}},
                }
            ],
        },
        "[audio a.m4a]:\n> hello there",
    ),
    "a text that Slack made a file of": (
        {"text": "", "files": [{"name": "x.py", "preview": "print(1)\nx"}]},
        "[file x.py]:\n> print(1)\n> x",
    ),
    "words": ({"text": "hello"}, "hello"),
    "a canvas": (
        {
            "text": "",
            "files": [
                {"name": "Untitled", "title": "Plan", "mode": "quip", "size": 1200}
            ],
        },
        "[canvas Plan, 1.2 kB]",
    ),
    "a list of Slack": (
        {"files": [{"name": "x", "title": "Bugs", "filetype": "list", "size": 0}]},
        "[list Bugs]",
    ),
    "a canvas without a title": ({"files": [{"filetype": "quip"}]}, DOCUMENT),
    "a document that lives elsewhere": (
        {
            "files": [
                {
                    "name": "Plan",
                    "is_external": True,
                    "external_url": "https://docs.example.org/1",
                    "size": 0,
                }
            ]
        },
        "[file Plan, https://docs.example.org/1]",
    ),
    "a file with a title": (
        {"files": [{"name": "a7.pdf", "title": "Report of May"}]},
        "[file a7.pdf (Report of May)]",
    ),
    "a file that is gone": ({"files": [{"id": "F1", "mode": "tombstone"}]}, GONE),
    "a file larger than any": (
        {"files": [{"name": "a.bin", "size": 10**400}]},
        "[file a.bin]",
    ),
    "a huddle": ({"text": "", "room": {"id": "R1", "name": ""}}, "[huddle]"),
    "a huddle with a name": (
        {"text": "A huddle started", "room": {"id": "R1", "name": "Standup"}},
        "A huddle started\n[huddle Standup]",
    ),
    "words in blocks, which Slack does not escape": (
        {"text": "", "blocks": [rich({"type": "text", "text": "a <b> &amp; c"})]},
        "a &lt;b&gt; &amp;amp; c",
    ),
    "buttons and a choice": (
        {
            "blocks": [
                {
                    "type": "actions",
                    "elements": [
                        button(text="Open", url="https://example.org", value="v7"),
                        button(text="Go", value="v8"),
                        {
                            "type": "static_select",
                            "options": [{"text": {"text": "A"}}],
                        },
                    ],
                }
            ]
        },
        "<https://example.org|Open>\n[button Go]\nA",
    ),
    "a picture beside a text": (
        {
            "blocks": [
                {
                    "type": "section",
                    "text": {"text": "x"},
                    "accessory": {"type": "image", "alt_text": "a dog"},
                }
            ]
        },
        "x\na dog",
    ),
    "a number without a value": (
        {"blocks": [{"type": "table", "rows": [[{"type": "raw_number"}]]}]},
        "",
    ),
    "a forward of what an app laid out": (
        {"attachments": [{**SHARED, "text": "Failed", **LAID_OUT}]},
        "Forwarded from Bob:\n> Build 7 failed: timeout",
    ),
    "a forward of a card": (
        {
            "attachments": [
                {
                    "is_share": True,
                    "attachments": [{"title": "CPU high", "text": "98 %"}],
                    "fallback": "[no preview available]",
                }
            ]
        },
        "Forwarded:\n> CPU high\n> 98 %",
    ),
    "a title that is a link": (
        {"attachments": [{"title": "Bug 7", "title_link": "https://b.org/7"}]},
        "Attached:\n> <https://b.org/7|Bug 7>",
    ),
    "a forward without a comment": (
        {"text": "", "attachments": [SHARED]},
        "Forwarded from Bob:\n> Tea is\n> better.",
    ),
    "a forward with a comment": (
        {"text": "is it?", "attachments": [SHARED]},
        "is it?\n\nForwarded from Bob:\n> Tea is\n> better.",
    ),
    "a forwarded message that Slack shows by its link": (
        {
            "text": "",
            "attachments": [{**SHARED, "is_share": False} | {"is_msg_unfurl": True}],
        },
        "Forwarded from Bob:\n> Tea is\n> better.",
    ),
    "a forward of blocks": (
        {
            "attachments": [
                {
                    "is_share": True,
                    "author_subname": "Eve",
                    "message_blocks": [
                        {
                            "message": {
                                "blocks": [rich({"type": "text", "text": "Hi"})]
                            }
                        }
                    ],
                }
            ]
        },
        "Forwarded from Eve:\n> Hi",
    ),
    "a forward with a file": (
        {
            "attachments": [
                {**SHARED, "text": "", "files": [{"name": "a.pdf", "size": 5000}]}
            ]
        },
        "Forwarded from Bob:\n> [file a.pdf, 5 kB]",
    ),
    "a forward of which Slack tells only the fallback": (
        {"attachments": [{"is_share": True, "fallback": "[1] Bob: Tea"}]},
        "Forwarded:\n> [1] Bob: Tea",
    ),
    "a preview of a link": (
        {"text": "see <https://example.org>", "attachments": [PREVIEW]},
        "see <https://example.org>",
    ),
    "a card": (
        {
            "text": "",
            "attachments": [
                {"title": "Bug 7", "fields": [{"title": "State", "value": "open"}]}
            ],
        },
        "Attached:\n> Bug 7\n> State: open",
    ),
    "blocks without text": (
        {
            "text": "",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "Plan"}},
                rich(
                    {"type": "text", "text": "see "},
                    {"type": "link", "url": "https://example.org", "text": "this"},
                    {"type": "text", "text": " "},
                    {"type": "user", "user_id": "U1"},
                    {"type": "emoji", "name": "wave"},
                ),
                {"type": "image", "alt_text": "a cat"},
            ],
        },
        "Plan\nsee <https://example.org|this> <@U1>:wave:\na cat",
    ),
    "a list in blocks": (
        {
            "blocks": [
                {
                    "type": "rich_text",
                    "elements": [
                        {
                            "type": "rich_text_list",
                            "elements": [
                                {
                                    "type": "rich_text_section",
                                    "elements": [{"type": "text", "text": text}],
                                }
                                for text in ("one", "two")
                            ],
                        }
                    ],
                }
            ]
        },
        "one\ntwo",
    ),
    "files": (
        {"text": "look", "files": [{"name": "photo.jpg", "mimetype": "image/jpeg"}]},
        "look\n[image photo.jpg]",
    ),
}


def shown(message: dict[str, Any]) -> str:
    return around(message, words(message))


@pytest.mark.parametrize("name", SHOWN)
def test_what_people_see_is_what_the_model_reads(name: str) -> None:
    message, expected = SHOWN[name]

    assert expected == shown(message)


@pytest.mark.parametrize("field", ["files", "attachments", "blocks"])
@pytest.mark.parametrize(
    "odd", [None, 7, "x", {}, [None], [7], [["x"]], [{"text": 7}]]
)
def test_what_is_odd_hides_no_words(field: str, odd: Any) -> None:
    assert shown({"text": "hello", field: odd}).startswith("hello")


def test_blocks_within_blocks_are_read_to_a_bound() -> None:
    block: dict[str, Any] = {"type": "text", "text": "deep"}
    for _ in range(5_000):
        block = {"type": "section", "elements": [block]}

    assert shown({"text": "", "blocks": [block]}) == ""


def test_a_forward_is_bounded() -> None:
    message = {"attachments": [{"is_share": True, "text": "x" * 40_000}]}

    assert len(shown(message)) < 8_100
