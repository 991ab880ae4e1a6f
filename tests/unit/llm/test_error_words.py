"""What went wrong is read from the words of every server: they are those that people
reported of them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.http_errors import Server, erred, refused
from agent.llm.provider import AttemptError, Objection

SERVER = Server("openai:gpt", "http://127.0.0.1", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def failure(http_status: int, message: str, **more: Any) -> AttemptError:
    return refused(
        SERVER,
        http_status,
        {},
        json.dumps({"error": {"message": message, **more}}).encode(),
    )


# server: status, message, other fields
TOO_LONG: dict[str, tuple[int, str, dict[str, Any]]] = {
    "OpenAI": (
        400,
        "This model's maximum context length is 8192 tokens. However, your "
        "messages resulted in 9000 "
        "tokens. Please reduce the length of the messages.",
        {"code": "context_length_exceeded"},
    ),
    "OpenAI, counted": (
        400,
        "This model's maximum context length is 8192 tokens. However, you requested 17192 tokens "
        "(9000 in the messages, 8192 in the completion).",
        {"code": "context_length_exceeded"},
    ),
    "OpenAI, newer": (
        400,
        "Your input exceeds the context window of this model. Please adjust your input and try "
        "again.",
        {},
    ),
    "OpenAI, one text": (
        400,
        "Invalid 'messages[0].content': string too long. Expected a string with maximum length "
        "10485760.",
        {"code": "string_above_max_length"},
    ),
    "OpenAI, per minute": (
        429,
        "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000. "
        "The input or output tokens must be reduced in order to run successfully.",
        {"code": "rate_limit_exceeded"},
    ),
    "Anthropic": (
        400,
        "prompt is too long: 205000 tokens > 200000 maximum",
        {"type": "invalid_request_error"},
    ),
    "Anthropic, no room": (
        400,
        "input length and `max_tokens` exceed context limit: 199900 + 8192 > 200000, decrease "
        "input length or `max_tokens` and try again",
        {"type": "invalid_request_error"},
    ),
    "Anthropic, body": (
        413,
        "Request exceeds the maximum size",
        {"type": "request_too_large"},
    ),
    "Anthropic, extra usage": (
        403,
        "Extra usage is required for long context requests",
        {"type": "billing_error"},
    ),
    "vLLM": (
        400,
        "This model's maximum context length is 16384 tokens. However, you "
        "requested 122946 tokens (112946 "
        "in the messages, 10000 in the completion). Please reduce the length of "
        "the messages or completion.",
        {"code": 400, "type": "BadRequestError"},
    ),
    "vLLM, older": (
        400,
        "The decoder prompt (length 5000) is longer than the maximum model "
        "length of 4096. Make sure "
        "that `max_model_len` is no smaller than the number of text tokens.",
        {"code": 400},
    ),
    "vLLM, newer": (
        400,
        "This model's maximum context length is 262144 tokens. However, you "
        "requested 0 output tokens "
        "and your prompt contains at least 262145 input tokens, for a total of "
        "at least 262145 tokens. "
        "Please reduce the length of the input prompt or the number of requested output tokens.",
        {},
    ),
    "vLLM, newest": (
        400,
        "You passed 9000 input tokens and requested 512 output tokens. However, "
        "the model's context "
        "length is only 8192 tokens, resulting in a maximum input length of 7680 tokens.",
        {},
    ),
    "llama.cpp": (
        400,
        "the request exceeds the available context size. try increasing the context size or enable "
        "context shift",
        {"type": "exceed_context_size_error", "n_prompt_tokens": 1407, "n_ctx": 256},
    ),
    "llama.cpp, older": (
        500,
        "the request exceeds the available context size. try increasing the context size or "
        "enable context shift",
        {"type": "exceed_context_size_error", "code": 500},
    ),
    "llama.cpp, counted": (
        400,
        "request (5000 tokens) exceeds the available context size (4096 tokens), try "
        "increasing it",
        {},
    ),
    "Ollama": (400, "the input length exceeds the context length", {}),
    "Ollama, chat": (
        400,
        "prompt too long; exceeded max context length by 321 tokens",
        {},
    ),
    "LM Studio": (
        400,
        "Trying to keep the first 10136 tokens when context the overflows. "
        "However, the model is loaded "
        "with context length of only 7866 tokens, which is not enough.",
        {},
    ),
    "TGI": (
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
        "4096. Given: 5000 `inputs` "
        "tokens and 100 `max_new_tokens`",
        {"type": "validation"},
    ),
    "TGI, older": (422, "inputs must have less than 4096 tokens. Given: 5000", {}),
    "SGLang": (
        400,
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        {},
    ),
    "TensorRT": (
        400,
        "The sum of prompt length (5000) and query length exceeds max_num_tokens (4096)",
        {},
    ),
    "Gemini": (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        {"code": 400, "status": "INVALID_ARGUMENT"},
    ),
    "Mistral": (
        400,
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model "
        "with 32768 maximum context "
        "length",
        {"type": "invalid_request_prompt", "code": "3051"},
    ),
    "xAI": (
        400,
        "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
        {},
    ),
    "Groq": (
        413,
        "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 7000",
        {"code": "rate_limit_exceeded"},
    ),
    "Cerebras": (
        400,
        "Please reduce the length of the messages or completion. Current length "
        "is 9000 while limit is "
        "8192",
        {"code": "context_length_exceeded"},
    ),
    "OpenRouter": (
        400,
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 18000 "
        "tokens (9808 of text input, 8192 in the output).",
        {"code": 400},
    ),
    "Bedrock": (400, "Input is too long for requested model.", {}),
    "Cohere": (
        400,
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 9000.",
        {},
    ),
    "Kimi": (
        400,
        "Invalid request: Your request exceeded model token limit: 8192",
        {},
    ),
    "GLM": (400, "tokens in request more than max tokens allowed", {"code": "1210"}),
    "Qwen": (
        400,
        "Range of input length should be [1, 30720]",
        {"code": "InvalidParameter"},
    ),
    "GitHub": (
        413,
        "Request body too large for gpt-4o model. Max size: 8000 tokens.",
        {"code": "tokens_limit_reached"},
    ),
    "Fireworks": (
        400,
        "The prompt is too long: 9000, model maximum context length: 8191",
        {},
    ),
    "MiniMax": (400, "context window exceeds limit (2013)", {}),
}

NO_CREDIT: dict[str, tuple[int, str, dict[str, Any]]] = {
    "OpenAI": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        {"type": "insufficient_quota", "code": "insufficient_quota"},
    ),
    "OpenAI, limit": (
        429,
        "Billing hard limit has been reached",
        {"code": "billing_hard_limit_reached"},
    ),
    "OpenAI, inactive": (
        429,
        "Your account is not active, please check your billing details on our website.",
        {"code": "billing_not_active"},
    ),
    "Anthropic": (
        400,
        "Your credit balance is too low to access the Anthropic API. Please go "
        "to Plans & Billing to "
        "upgrade or purchase credits.",
        {"type": "invalid_request_error"},
    ),
    "Anthropic, newer": (
        402,
        "Please check your payment details",
        {"type": "billing_error"},
    ),
    "OpenRouter": (
        402,
        "Insufficient credits. Add more using https://example.org/credits",
        {"code": 402},
    ),
    "OpenRouter, partly": (
        402,
        "This request requires more credits, or fewer max_tokens. You requested up to 8192 "
        "tokens, but can only afford 1000.",
        {"code": 402},
    ),
    "DeepSeek": (
        402,
        "Insufficient Balance",
        {"type": "unknown_error", "code": "invalid_request_error"},
    ),
    "Gemini": (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        {"code": 429, "status": "RESOURCE_EXHAUSTED"},
    ),
    "Gemini, prepaid": (
        429,
        "Your prepayment credits are depleted.",
        {"status": "RESOURCE_EXHAUSTED"},
    ),
    "Gemini, disabled": (
        403,
        "This API method requires billing to be enabled.",
        {"status": "PERMISSION_DENIED"},
    ),
    "xAI": (
        403,
        "Your team has either used all available credits or reached its monthly spending limit.",
        {},
    ),
    "Kimi": (
        429,
        "Your account is suspended due to insufficient balance, please recharge your account",
        {"type": "exceeded_current_quota_error"},
    ),
    "GLM": (
        429,
        "Insufficient balance or no resource package. Please recharge.",
        {"code": "1113"},
    ),
    "Qwen": (
        400,
        "Access denied, please make sure your account is in good standing.",
        {"code": "Arrearage"},
    ),
    "Volcengine": (
        403,
        "The request failed because your account has an overdue balance.",
        {"code": "AccountOverdueError"},
    ),
    "SiliconFlow": (
        403,
        "Sorry, your account balance is insufficient",
        {"code": 30001},
    ),
    "Hugging Face": (
        402,
        "You have exceeded your monthly included credits for Inference Providers.",
        {},
    ),
    "Fireworks": (
        412,
        "Account is suspended, possibly due to reaching the monthly spending limit",
        {},
    ),
    "Together": (
        402,
        "Credit limit exceeded, please add credits to your account",
        {},
    ),
    "LiteLLM": (
        400,
        "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0",
        {"type": "budget_exceeded"},
    ),
    "Novita": (403, "not enough balance", {"code": "NOT_ENOUGH_BALANCE"}),
    "Vercel": (402, "Insufficient funds", {"type": "insufficient_funds"}),
}

PASSES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "OpenAI": (
        429,
        "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 10000, "
        "Used 9000. Please try again "
        "in 6ms. You can increase your rate limit by adding a payment method at "
        "https://example.org/billing.",
        {"code": "rate_limit_exceeded"},
    ),
    "Gemini": (
        429,
        "You exceeded your current quota, please check your plan and billing "
        "details. Please retry in "
        "38.8s.",
        {"status": "RESOURCE_EXHAUSTED"},
    ),
    "Bedrock": (429, "Too many tokens, please wait before trying again.", {}),
    "Anthropic": (529, "Overloaded", {"type": "overloaded_error"}),
    "Ollama": (
        503,
        "server busy, please try again. maximum pending requests exceeded",
        {},
    ),
    "Ollama, loading": (
        500,
        "unexpected server status: llm server loading model",
        {"type": "api_error"},
    ),
    "DeepSeek": (503, "Service is too busy", {}),
    "a gateway": (504, "upstream request timeout", {}),
}


@pytest.mark.parametrize(
    ("status", "message", "more"), TOO_LONG.values(), ids=TOO_LONG
)
def test_a_conversation_that_is_too_long_names_the_way_out_and_is_not_sent_again(
    status: int, message: str, more: dict[str, Any]
) -> None:
    found = failure(status, message, **more)
    assert found.sentence.startswith("This conversation is too long for openai:gpt (")
    assert found.sentence.endswith("Start a new one with /new.")
    assert (found.again, found.objection) == (False, "prompt too long")


@pytest.mark.parametrize(
    ("status", "message", "more"), NO_CREDIT.values(), ids=NO_CREDIT
)
def test_no_credit_is_told_as_that_and_not_asked_again(
    status: int, message: str, more: dict[str, Any]
) -> None:
    found = failure(status, message, **more)
    assert found.sentence.startswith(
        "There is no credit left behind OPENAI_API_KEY ("
    )
    assert (found.again, found.objection) == (False, "no credit")


@pytest.mark.parametrize(("status", "message", "more"), PASSES.values(), ids=PASSES)
def test_what_passes_is_asked_again(
    status: int, message: str, more: dict[str, Any]
) -> None:
    found = failure(status, message, **more)
    assert (found.again, found.objection) == (True, "")
    assert "Try again in" in found.sentence


@pytest.mark.parametrize(
    ("message", "objection", "room"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, you "
            "requested 8256 tokens (64 in the messages, "
            "8192 in the completion).",
            "longest too long",
            8128,
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 8192. This "
            "model's maximum context length is 8192 "
            "tokens and your request has 24 input tokens (8192 > 8192 - 24).",
            "longest too long",
            8168,
        ),
        (
            "This endpoint's maximum context length is 8192 tokens. However, you "
            "requested about 9000 tokens (808 of text "
            "input, 8192 in the output).",
            "longest too long",
            7384,
        ),
        (
            "input length and `max_tokens` exceed context limit: 195000 + 8192 > "
            "200000, decrease input length",
            "longest too long",
            5000,
        ),
        (
            "max_tokens: 8192 > 4096, which is the maximum allowed number of "
            "output tokens for claude-3-haiku",
            "longest too long",
            4096,
        ),
        (
            "The prompt and max_tokens together exceed the context length.",
            "longest too long",
            None,
        ),
    ],
)
def test_where_a_shorter_answer_fits_its_room_is_read(
    message: str, objection: Objection, room: int | None
) -> None:
    found = failure(400, message)
    assert (found.objection, found.room) == (objection, room)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 6ms.", 0.006),
        ("Please try again in 7.66s.", 7.66),
        ("Please retry in 38.8s.", 38.8),
        ("Retry after 12 seconds.", 12.0),
        ("try again in 2m0s", 120.0),
        ("Try again later.", None),
    ],
)
def test_a_wait_may_stand_in_the_words(words: str, seconds: float | None) -> None:
    assert failure(429, words).retry_after == seconds


def test_a_wait_may_stand_in_the_details() -> None:
    details = [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38s"}
    ]
    assert failure(429, "Slow down", details=details).retry_after == 38.0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("a_ 429", max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["code", "type", "status", "error", "details"]), JSON
)


@given(FIELDS, st.booleans())
def test_no_error_breaks_the_sentence_and_its_words_are_not_shown(
    error: dict[str, Any], said: bool
) -> None:
    found = erred(SERVER, {**error, "message": "hush hush"}, {}, said=said)
    assert found.sentence.endswith(".")
    assert "hush" not in found.sentence
