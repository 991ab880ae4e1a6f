"""How a request is put to a server that refused the one before, in the words that real
servers use.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.http_errors import Server, refused
from agent.llm.openai_dialect import OPENAI, Wording
from agent.llm.provider import LEAST, Objection

SERVER = Server("openai:gpt", "http://127.0.0.1", "OPENAI_API_KEY", "OPENAI_BASE_URL")
OLDER, NEWER = "max_tokens", "max_completion_tokens"
MISTRAL = {
    "type": "extra_forbidden",
    "loc": ["body", NEWER],
    "msg": "Extra inputs are not permitted",
    "input": 8192,
}
WORDS: list[tuple[int, dict[str, Any], Objection]] = [
    (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported "
                "with this model. Use "
                "'max_completion_tokens' instead.",
                "type": "invalid_request_error",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        "longest unknown",
    ),
    (
        422,
        {
            "object": "error",
            "message": {"detail": [MISTRAL]},
            "type": "invalid_request_error",
        },
        "longest unknown",
    ),
    (
        400,
        {
            "object": "error",
            "message": f"[{MISTRAL}]",
            "type": "BadRequestError",
            "code": 400,
        },
        "longest unknown",
    ),
    (
        400,
        {
            "error": {
                "message": "max_tokens is too large: 8192. This model supports at "
                "most 4096 completion tokens, "
                "whereas you provided 8192.",
                "type": "invalid_request_error",
                "param": "max_tokens",
                "code": None,
            }
        },
        "longest too long",
    ),
    (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 8192 tokens. "
                "However, you requested 8256 tokens"
                " (64 in the messages, 8192 in the completion). Please reduce "
                "the length of the messages or "
                "completion.",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
        "longest too long",
    ),
    (
        400,
        {
            "object": "error",
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 8192. This model's "
            "maximum context length is 8192 tokens and your request has 24 input tokens.",
            "code": 400,
        },
        "longest too long",
    ),
    (
        400,
        {
            "error": {
                "code": "InvalidParameter",
                "message": "The parameter `max_completion_tokens` specified in the "
                "request are not valid: integer above maximum value, expected a value <= 4096",
            }
        },
        "longest too long",
    ),
    (
        400,
        {
            "error": {
                "message": "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]"
            }
        },
        "longest too long",
    ),
    (
        400,
        {
            "error": {
                "message": "Unrecognized request argument supplied: stream_options"
            }
        },
        "",
    ),
    (
        400,
        {"error": {"message": "The response was filtered", "code": "content_filter"}},
        "declined",
    ),
]


@pytest.mark.parametrize(("status", "body", "objection"), WORDS)
def test_what_a_server_objects_to_is_read_from_its_words(
    status: int, body: dict[str, Any], objection: Objection
) -> None:
    assert (
        refused(SERVER, status, {}, json.dumps(body).encode()).objection == objection
    )


@pytest.mark.parametrize(
    ("url", "learned", "name"),
    [
        (f"{OPENAI}v1/chat/completions", None, NEWER),
        ("http://127.0.0.1:11434/v1/chat/completions", None, OLDER),
        ("https://api.openai.com.example/v1/chat/completions", None, OLDER),
        ("http://127.0.0.1:11434/v1/chat/completions", NEWER, NEWER),
    ],
)
def test_only_openai_itself_is_asked_with_the_newer_name_first(
    url: str, learned: str | None, name: str
) -> None:
    wording = Wording.first(url, 8192, learned)
    assert wording.fields == {name: 8192, "stream_options": {"include_usage": True}}


@given(
    st.integers(16, 10**6), st.lists(st.sampled_from(WORDS), min_size=20, max_size=40)
)
def test_whatever_is_refused_it_ends_soon_and_the_answer_is_always_capped(
    longest: int, refusals: list[tuple[int, dict[str, Any], Objection]]
) -> None:
    wording: Wording | None = Wording.first(SERVER.url, longest, None)
    asked = []
    for status, body, _ in refusals:
        assert wording is not None
        asked.append({**wording.fields})
        wording = wording.after(
            refused(SERVER, status, {}, json.dumps(body).encode())
        )
        if wording is None:
            break
    caps = [fields.get(OLDER, fields.get(NEWER, 10**9)) for fields in asked]
    assert wording is None
    assert caps == sorted(caps, reverse=True)
    assert caps[0] == longest
    assert caps[-1] >= min(longest, LEAST)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_what_is_no_refusal_of_a_field_is_not_put_in_other_words(status: int) -> None:
    body = json.dumps(WORDS[0][1]).encode()
    assert (
        Wording.first(SERVER.url, 8192, None).after(refused(SERVER, status, {}, body))
        is None
    )
