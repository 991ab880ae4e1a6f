"""More words of servers, each as it was seen: keys, filters, limits, paths, and other
statuses than usual.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.llm.http_errors import Server, refused
from agent.llm.provider import AttemptError, Objection

SERVER = Server("openai:gpt", "http://127.0.0.1", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def failure(http_status: int, message: str, **more: Any) -> AttemptError:
    body = json.dumps({"error": {"message": message, **more}})
    return refused(SERVER, http_status, {}, body.encode())


Row = tuple[int, str, dict[str, Any]]

# objection, what the sentence says: rows of status, message, other fields
SAID: dict[tuple[Objection, str], list[Row]] = {
    ("prompt too long", "/new"): [
        (400, "Malformed input request: expected maxLength: 50000, actual: 9", {}),
        (400, "the input token count is 40000 but model only supports up to 9", {}),
        (400, "Request payload size exceeds the limit: 20971520 bytes.", {}),
        (400, "The maximum supported sequence length is just 4096!", {}),
        (400, "Total tokens of image and text exceed max message tokens", {}),
        (400, "the max input characters is 4800", {}),
        (400, "The total number of tokens (5000) is over the model's limit", {}),
        (400, "Your request is too long. Please shorten it", {}),
        (400, "This model's maximum input is 4096 tokens", {}),
        (400, "The message you submitted was too long", {}),
        (400, "tokens limit exceeded: max 4096", {}),
        (500, "failed to find a memory slot for batch", {}),
    ],
    ("no credit", "no credit left"): [
        (400, "You have reached your specified API usage limits.", {}),
        (403, "INVALID_PAYMENT_INSTRUMENT: A valid one must be provided.", {}),
        (403, "Your account has no remaining balance", {}),
        (403, "Account balance is negative", {}),
        (403, "余额不足", {}),
        (403, "预扣费额度失败", {"code": "insufficient_user_quota"}),
        (403, "The free tier of the model has been exhausted.", {}),
        (429, "Quota exceeded and account balance is $0.0, please pay", {}),
        (429, "you have reached your weekly usage limit, please upgrade", {}),
        (429, "you have used up your daily free allocation of neurons", {}),
    ],
    ("bad key", "refused OPENAI_API_KEY"): [
        (400, "API key not valid. Please pass a valid API key.", {"code": 400}),
        (400, "Incorrect API key provided: sk***.", {}),
        (400, "API key expired. Please renew the API key.", {}),
        (403, "The security token included in the request is invalid", {}),
        (403, "Invalid API Key", {}),
        (401, "No auth credentials found", {}),
        (401, "anything", {}),
    ],
    ("declined", "declined to answer"): [
        (400, "Prompt triggering the policy", {"code": "content_filter"}),
        (400, "x", {"innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        (400, "Output blocked by content filtering policy", {}),
        (400, "Content Exists Risk", {"code": "invalid_request_error"}),
        (400, "x", {"code": "data_inspection_failed"}),
        (400, "your prompt was flagged as potentially violating our policy", {}),
        (400, "可能包含不安全或敏感内容", {"code": "1301"}),
        (403, "Content violates usage guidelines.", {}),
        (403, 'It requires moderation. Your input was flagged for "x"', {}),
    ],
    ("longest too long", "too long for openai:gpt"): [
        (
            400,
            "too many tokens: max tokens must be less than or equal to 4096",
            {},
        ),
        (
            400,
            "It exceeds this model context window limit (8192): 99 in the prompt, "
            "8192 max tokens.",
            {},
        ),
    ],
    ("longest too long", "refused the request"): [
        (400, "The maximum tokens you requested exceeds the model limit of 4096", {}),
        (400, "a maxOutputTokens value of 9 but the supported range is 1 to 8", {}),
        (400, "max_output_tokens must be at most 4096", {}),
        (422, "`max_new_tokens` must be <= 1024. Given: 8192", {}),
    ],
    ("longest unknown", "refused the request"): [
        (400, "max_completion_tokens is not a valid parameter", {}),
        (400, 'Unknown name "max_completion_tokens": Cannot find field.', {}),
    ],
    ("no such path", "no model server at OPENAI_BASE_URL"): [
        (404, "Resource not found", {"code": "404"}),
        (404, "Not Found", {}),
        (404, "File Not Found", {"type": "not_found_error"}),
        (404, "No static resource chat/completions.", {}),
    ],
    ("", "does not exist on this server"): [
        (404, "The model x does not exist", {}),
        (404, "No models loaded. Please load a model.", {"code": "model_not_found"}),
    ],
    ("", "is failing at the moment"): [
        (424, "Request failed during generation", {"type": "generation"}),
        (425, "Too early", {}),
        (498, "Flex tier capacity exceeded", {}),
        (499, "client closed request", {}),
        (520, "", {}),
        (529, "Overloaded", {}),
    ],
    ("", "too many requests"): [
        (429, "Requests rate limit exceeded", {}),
        (
            429,
            "Rate limit exceeded: free-models-per-day. Add 10 credits to go on",
            {},
        ),
    ],
}
ROWS = [(*row, *meant) for meant, rows in SAID.items() for row in rows]


@pytest.mark.parametrize(("status", "message", "more", "objection", "told"), ROWS)
def test_what_was_meant_is_told(
    status: int, message: str, more: dict[str, Any], objection: Objection, told: str
) -> None:
    found = failure(status, message, **more)
    assert (found.objection, told in found.sentence) == (objection, True), found
    assert found.again == (told in ("is failing at the moment", "too many requests"))


BODIES: list[tuple[int, str, str]] = [
    (404, '{"message": "model \'x\' not found, make sure"}', "does not exist"),
    (404, '{"detail": "Model x not found"}', "does not exist"),
    (404, '{"detail": "Not Found"}', "no model server"),
    (404, '{"status": 404, "error": "Not Found", "path": "/v1"}', "no model server"),
    (404, '{"message": "no Route matched with those values"}', "no model server"),
    (404, "404 page not found", "no model server"),
    (401, "<html>401 Authorization Required</html>", "refused OPENAI_API_KEY"),
    (400, '[{"error": {"message": "pass a valid API key"}}]', "refused OPENAI"),
    (400, '{"error": true, "message": "context length exceeded"}', "/new"),
    (400, '{"error": ["context length exceeded"]}', "/new"),
    (400, '{"errors": [{"message": "prompt is too long"}]}', "/new"),
    (200, '{"base_resp": {"status_code": 1008, "status_msg": "x"}}', "no model"),
    (503, "no healthy upstream", "is failing at the moment (503)"),
]


@pytest.mark.parametrize(("status", "body", "told"), BODIES)
def test_a_body_may_have_any_form(status: int, body: str, told: str) -> None:
    assert told in refused(SERVER, status, {}, body.encode()).sentence


def test_the_room_is_read_from_the_input_messages_too() -> None:
    found = failure(
        400,
        "Requested token count exceeds the model's maximum context length of 8192 "
        "tokens: 808 tokens from the input messages and 8192 for the completion.",
    )
    assert (found.objection, found.room) == ("longest too long", 7384)
