"""A model cannot ping anybody on Slack, and its code arrives as it was written."""

from __future__ import annotations

import pytest

from channels.slack.text import finished, harmless, pieces_of, plain


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("<!channel|<!here>>", "&lt;!channel|&lt;!here>>"),
        (
            "<!here> <!everyone|all> <!subteam^S1|@x>",
            "&lt;!here> &lt;!everyone|all> &lt;!subteam^S1|@x>",
        ),
        ("<@U123> and <#C1|general>", "&lt;@U123> and &lt;#C1|general>"),
        (r"\<!here> \\<!here>", r"&lt;!here> \\&lt;!here>"),
        ("&lt;!here&gt;", "&lt;!here&gt;"),
        ("<https://evil.com|good>", "https://evil.com|good"),
        ("see <https://example.org/a>.", "see https://example.org/a."),
        (
            "see <https://example.org/_a_>x",
            r"see [https://example.org/\_a\_](https://example.org/_a_)x",
        ),
        ("[bank.com](https://evil.com)", "bank.com (https://evil.com)"),
        (
            "[bank.com][1]\n\n[1]: https://evil.com",
            "[bank.com][1]\n\n\\[1]: https://evil.com",
        ),
        ("a < b, vector<int>", "a &lt; b, vector&lt;int>"),
        ("> quoted\n\n- **bold** & more", "> quoted\n\n- **bold** & more"),
        ("```<!here>\ncode\n```", "```&lt;!here>\ncode\n```"),
        ("    if a < b:\n    <!here>", "    if a < b:\n    &lt;!here>"),
        ("`<!here>\n`", "`&lt;!here>\n`"),
    ],
)
def test_outside_of_code_nothing_can_begin_a_token(text: str, sent: str) -> None:
    assert sent == harmless(text)


@pytest.mark.parametrize(
    "code",
    [
        "`npm i @here/flexible-polyline`",
        "```sh\nnpm i @here/x\nif [ a < b ]; then\n```",
        "``a<b ` c``",
        "`@everyone`",
        "~~~\n<html>\n~~~",
    ],
)
def test_code_is_what_the_model_wrote(code: str) -> None:
    assert code == harmless(code)


def test_no_invisible_character_is_put_anywhere() -> None:
    text = "npm i @here/x, @channel, `@here`"
    assert [text] == pieces_of(text, 12_000)


def test_where_slack_shows_no_markdown_nothing_looks_escaped() -> None:
    assert "a < b" == plain(harmless("a < b"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one <!her", "one "),
        ("one [two](http", "one "),
        ("one [two]", "one "),
        ("one \\", "one "),
        ("one `two <b", "one `two "),
        ("one `two` <b> three", "one `two` <b> three"),
        ("one `a<b`", "one `a"),
        ("```\nif a < b", "```\nif a < b"),
    ],
)
def test_of_a_growing_text_only_what_will_stay_is_shown(
    text: str, shown: str
) -> None:
    assert shown == finished(text)


def test_what_is_code_only_in_the_whole_is_looked_at_again_in_the_pieces() -> None:
    text = "`" * 1_500 + " <!here> " * 300 + "`" * 1_500
    assert [] == [piece for piece in pieces_of(text, 2_000) if "<!here>" in piece]
