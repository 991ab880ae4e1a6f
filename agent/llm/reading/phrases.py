"""What servers say, by what it means. Searched in small letters."""

from __future__ import annotations

import re

STATUS_NAMES = (  # what codes without a number mean, as HTTP says it; the first that fits counts
    (r"ratelimit|toomanyrequests|resourceexhausted|throttl|quota", 429),
    (r"overloaded", 529),
    (r"authenticat|apikey|unauthori[sz]ed|unrecognizedclient|expiredtoken", 401),
    (r"billing|payment", 402),
    (r"permission|forbidden|accessdenied", 403),
    (r"notfound", 404),
    (r"timeout|deadline", 504),
    (r"toolarge|contextlength|contextsize", 413),
    (r"unavailable|notready|capacity|slowdown", 503),
    (r"server|internal|apierror", 500),
    (r"invalid|validation|badrequest|precondition|unsupported", 400),
)

STATUS_WORDS = (  # where no field says it
    (r"rate.?limit|too many requests", 429),
    (r"overloaded|at capacity|server (is )?(too )?busy", 529),
)

NO_CREDIT_CODES = frozenset(
    {
        "insufficient_quota",
        "insufficient_user_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
NO_CREDIT = re.compile(
    r"insufficient[ _](\w+ )?(quota|balance|credits?|funds)|"
    r"not[ _]enough[ _](balance|credits?|funds)|"
    r"balance.{0,20}(insufficient|too low|not enough|exhausted)|"
    r"(out of|no remaining|used all available|more) credits|"
    r"credits?.{0,30}(depleted|exhausted|too low|exceeded|insufficient|used up)|"
    r"exceeded.{0,30} credits|"
    r"exceeded your current quota|exceeded_current_quota|payment required|arrearage|"
    r"overdue|recharge|"
    r"spend(ing)?[ _]limit|budget has been exceeded|"
    r"billing.{0,20}(hard limit|disabled|not active|to be enabled)|"
    r"usage limit|monthly spend|payment[ _](method|instrument)|"
    r"balance.{0,20}(negative|\$0\.0)|no remaining balance|"
    r"free (tier|trial|quota|allocation).{0,40}(exhausted|expired|used up)|"
    r"used up your.{0,20}free|余额不足|额度失败"
)
PASSES = re.compile(
    r"rate.?limit|(try again|retry) in|retrydelay|per (minute|min|second|day)\b"
)

BAD_KEY = re.compile(
    r"(invalid|incorrect|wrong|expired|missing|valid|bad|no) (api|access)[ _-]?(key|token)|"
    r"(api|access)[ _-]?(key|token).{0,20} "
    r"(invalid|not valid|incorrect|expired|missing|required|revoked|disabled)|"
    r"api_key_invalid|security token.{0,40}(invalid|expired)|no auth credentials"
)
OF_KEYS = frozenset({400, 403})
"""Statuses with which some servers refuse a key (Gemini, xAI, Bedrock), besides 401."""

DECLINED = re.compile(
    r"content[ _]?(filter|management policy|policy|moderation)|responsibleaipolicy|"
    r"data_?inspection_?failed|inappropriate content|content exists risk|"
    r"violat.{0,40}(guideline|polic)|(was|were|been) flagged|requires moderation|"
    r"blocked by.{0,40}(filter|policy|guardrail|safety)|new_sensitive|敏感内容"
)
OF_FILTERS = frozenset({None, 400, 403, 422, 451})
"""Statuses with which filters refuse a request."""

TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "request_too_large",
        "exceed_context_size_error",
        "string_above_max_length",
        "tokens_limit_reached",
    }
)
TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size|limit|overflow)|\bn_ctx\b|long context|"
    r"\b(prompt|inputs?|conversation|string|content)\b.{0,40}"
    r"(too (long|large)|longer than|larger than|exceed)|"
    r"inputs must have less|too many tokens|maximum (prompt|input|model) length|"
    r"(input|prompt) length|"
    r"model token limit|`inputs` tokens|more than max tokens|reduce the length|"
    r"exceeds max length|maxlength: \d|token count.{0,40}(supports|exceed)|"
    r"payload size exceeds|maximum( supported| specified)? sequence length|"
    r"max message tokens|max(imum)? input (characters|tokens|is)|memory slot|"
    r"\b(messages?|request|text|query|submitted)( is| are| was) too long|"
    r"number of tokens.{0,20}(over|above) the|tokens? limit exceeded|length of the prompt"
)
NEVER_FITS = re.compile(
    r"request too large|tokens must be reduced|long context"
)  # said of limits per minute, too
OF_REQUESTS = frozenset({None, 400, 403, 413, 422, 500})
"""Statuses that judge a request (llama.cpp says 500). With others "too many tokens" speaks
of the server's own load.
"""

LONGEST = re.compile(
    r"(?<!more than )max(imum)?[ _]?((completion|output|new)[ _]?)?tokens"
)
"""The longest answer, by the names of its field and what people call it."""
NO_FIELD = re.compile(
    r"unsupported|not supported|forbidden|not permitted|not allowed|not a valid parameter|"
    r"un(known|recognized|expected)|cannot find field"
)
TOO_LARGE = re.compile(
    r"too (large|long|high|big)|maximum|at most|exceed|range|above|<=|(less|lower) than"
)
NO_SYSTEM = re.compile(
    r"system (role|message|prompt)s? .{0,30}not (supported|allowed|enabled)|"
    r"not support.{0,20}['\"`]?system|developer instruction is not enabled"
)  # templates without a place for it: Gemma, older Mistral, o1
NO_PATH = re.compile(
    r"unexpected endpoint|invalid url|unknown request url|no static resource|"
    r"(message|error|detail) not found|"
    r"\b(file|page|route|path|endpoint|url|resource) not found|cannot post /"
)
NO_MODEL = re.compile(
    r"\bmodel\b.{0,80}(not found|not exist|unknown|not deployed)|(unknown|no such) model"
)

SUM = re.compile(
    r"(\d{1,9}) \+ \d{1,9} > (\d{1,9})"
)  # Anthropic: prompt + max_tokens > context
CONTEXT = re.compile(
    r"(?:context|prompt|model|input)[ -](?:length|window|size|limit)\D{0,30}?(\d{3,9})|<= (\d{3,9})"
)
PROMPT = re.compile(
    r"(\d{1,9}) (?:tokens )?(?:in (?:the messages|(?:your|the) prompt)|"
    r"of text input|`inputs` tokens|input tokens|from the input)"
)
MOST = re.compile(
    r"max_tokens: \d{1,9} > (\d{1,9})"
)  # Anthropic: more than this model ever writes
LOADING = re.compile(r"loading model|model.{0,60} loading")
