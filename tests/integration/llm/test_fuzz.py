"""Streams with fields missing, null, added or of other types, cut anywhere: no text that
could be read is lost.

A few hundred for each provider, and ten thousand with

    uv run pytest -n 0 -m chaos tests/integration/llm/test_fuzz.py
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.completion import Prompt
from agent.llm.anthropic import open_model as open_anthropic
from agent.llm.http_stream import Wire, open_client
from agent.llm.openai import open_model as open_openai
from agent.llm.provider import AttemptError, Model, Patience, Reported
from agent.llm.reading.fields import MOST_TOKENS
from agent.settings import UNKNOWN_MODEL, Settings

FEW = 200
ROUNDS = 50
"""Of so many streams each: what hypothesis knows of earlier ones slows it down."""
ASKED = Prompt("", (("user", "hello"),))
WORDS = [f"wörd{number}😀 " for number in range(4)]
HALVES = ["\ud83d", "\ude00"]  # of one character
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Step:
    """One event of a good stream: the path of its text, and the path that says why the
    answer ends.
    """

    event: dict[str, Any]
    text: Path = ()
    reason: Path = ()


def chat(
    index: int, delta: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    choice = {
        "index": index,
        "delta": delta,
        "finish_reason": finish,
        "logprobs": None,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt",
        "choices": [choice],
    }


def openai_steps() -> list[Step]:
    content = ("choices", 0, "delta", "content")
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    return [
        Step(chat(0, {"role": "assistant", "content": ""})),
        Step(chat(0, {"reasoning_content": "hm", "content": None})),
        *(Step(chat(0, {"content": word}), text=content) for word in WORDS[:3]),
        *(Step(chat(0, {"content": half})) for half in HALVES),
        Step(
            chat(0, {"content": [{"type": "text", "text": WORDS[3]}]}),
            text=(*content, 0, "text"),
        ),
        Step(chat(0, {}, "stop"), reason=("choices", 0, "finish_reason")),
        Step({"object": "chat.completion.chunk", "choices": [], "usage": usage}),
    ]


def anthropic_steps() -> list[Step]:
    usage = {"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 1}
    delta = {"type": "content_block_delta", "index": 0}
    return [
        Step(
            {
                "type": "message_start",
                "message": {"role": "assistant", "content": [], "usage": usage},
            }
        ),
        Step(
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "thinking", "thinking": "hm"},
            }
        ),
        Step({**delta, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        Step({"type": "ping"}),
        Step(
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {"type": "text", "text": WORDS[0]},
            },
            text=("content_block", "text"),
        ),
        *(
            Step(
                {**delta, "delta": {"type": "text_delta", "text": word}},
                text=("delta", "text"),
            )
            for word in WORDS[1:]
        ),
        *(
            Step({**delta, "delta": {"type": "text_delta", "text": half}})
            for half in HALVES
        ),
        Step({"type": "content_block_stop", "index": 0}),
        Step(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 4},
            },
            reason=("delta", "stop_reason"),
        ),
    ]


PROVIDERS: dict[str, tuple[Callable[[], list[Step]], Callable[..., Model], bytes]] = {
    "openai": (openai_steps, open_openai, b"data: [DONE]\n\n"),
    "anthropic": (
        anthropic_steps,
        open_anthropic,
        b'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    ),
}

ODD: list[Any] = [
    *(None, True, False, 0, -1, 7, 10**30, 1.5, float("inf")),
    *("", "x", "429", "\ud83d", "<think>hm</think>"),
    *(
        [],
        [None],
        ["x"],
        [[[]]],
        {},
        {"x": 1},
        {"text": None},
        {"type": "thinking", "text": "NO"},
    ),
]
JUNK = [
    b": still here\n\n",
    b"\n",
    b"data: {oops\n\n",
    b"data:\n\n",
    b"data: null\n\n",
    b"data: 7\n\n",
    b'data: "x"\n\n',
    b"data: []\n\n",
    b"data: \xed\xa0\xbd\n\n",
    b"id: 7\nretry: x\n\n",
    b"event: weather\ndata: {}\n\n",
    b"nonsense\n",
    b"\xff\xfe\n",
    b'data: {"choices": "no"}\n\n',
    b'data: {"type": 7, "delta": [1], "message": "x", "usage": {"a": []}}\n\n',
]
CODES: tuple[object, ...] = (None, 400, 401, 402, 413, 429, 500, "x", [])
ERRORS: list[object] = [
    *({"message": "No", "code": code} for code in CODES),
    "No",
    [1],
    True,
]


@dataclass(frozen=True)
class Case:
    """A stream, and what has to come of it."""

    body: list[bytes]
    texts: list[str]  # in this order, whatever else is shown
    is_whole: bool  # nothing was done to what says that the answer is whole


def paths(value: Any, before: Path = ()) -> Iterator[Path]:
    """Every place inside a value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        yield (*before, key)
        yield from paths(each, (*before, key))


def touches(changed: Path, wanted: Path) -> bool:
    """Whether a change at one place may take away what is at another: above it, or beside
    it (a type, an index).
    """
    return (
        wanted[: len(changed)] == changed
        or changed[:-1] == wanted[: len(changed) - 1]
    )


def at(event: Any, path: Path) -> Any:
    """What is at a place."""
    return reduce(lambda inner, key: inner[key], path, event)


@st.composite
def mutations(draw: st.DrawFn, event: dict[str, Any], times: int) -> list[Path]:
    """Changes an event at so many places, and says where."""
    changed = []
    for _ in range(times):
        if not (choices := list(paths(event))):
            break
        place = draw(st.sampled_from(choices))
        holder: Any = at(event, place[:-1])
        if draw(st.booleans()):
            del holder[place[-1]]
        else:
            holder[place[-1]] = copy.deepcopy(draw(st.sampled_from(ODD)))
        changed.append(place)
    if draw(st.booleans()):
        event["new"] = draw(st.sampled_from(ODD))
    return changed


@st.composite
def cases(draw: st.DrawFn, provider: str) -> Case:
    """A good stream, in which up to six places are changed, with junk between its events."""
    steps, _, last = PROVIDERS[provider]
    originals = steps()
    body, texts, is_whole, failed = (
        draw(st.sampled_from([b"", b"\xef\xbb\xbf"])),
        [],
        True,
        False,
    )
    victims = draw(st.lists(st.integers(0, len(originals) - 1), max_size=6))
    failing = draw(st.none() | st.integers(0, 5 * len(originals)))
    for number, step in enumerate(originals):
        event = copy.deepcopy(step.event)
        places = draw(mutations(event, victims.count(number)))
        failed = failed or number == failing
        if number == failing:
            event["error"] = draw(st.sampled_from(ERRORS))
        if (
            step.text
            and not failed
            and not any(touches(place, step.text) for place in places)
        ):
            texts.append(str(at(step.event, step.text)))
        is_whole = is_whole and not any(
            touches(place, step.reason) for place in places if step.reason
        )
        body += draw(lines(event)) + b"".join(
            draw(st.lists(st.sampled_from(JUNK), max_size=2))
        )
    body += draw(st.sampled_from([b"", last]))
    return Case(draw(pieces(body)), texts, is_whole and not failed)


@st.composite
def lines(draw: st.DrawFn, event: dict[str, Any]) -> bytes:
    """The event as it is sent."""
    data = json.dumps(event, ensure_ascii=draw(st.booleans()))
    return (
        f"{draw(st.sampled_from(['', 'event: x', ': x']))}\ndata: {data}\n\n".encode(
            "utf-8", "surrogatepass"
        )
    )


@st.composite
def pieces(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """The bytes, cut anywhere, with one way of ending lines."""
    body = body.replace(b"\n", draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    places = sorted(
        {0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=6))}
    )
    return [body[begin:end] for begin, end in pairwise(places)]


class Bytes(httpx.AsyncByteStream):
    """A body that comes in these pieces."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


class Fuzzed:
    """One provider over a server that sends what it is told to. It is made once: clients
    are slow to make.
    """

    def __init__(self, provider: str) -> None:
        self.parts: list[bytes] = []
        self.requests = 0
        transport = httpx.MockTransport(self._respond)
        wire = Wire(idle=5, make_client=lambda: open_client(transport))
        options: dict[str, Any] = {
            "openai_base_url": "http://model/v1",
            "openai_api_key": "x",
            "anthropic_base_url": "http://model",
            "anthropic_api_key": "x",
        }
        _, open_model, _ = PROVIDERS[provider]
        settings = Settings(_env_file=None, **options)
        known = settings.provider(provider)
        assert known is not None
        self._model = open_model("name", known, UNKNOWN_MODEL, lambda: wire)

    def _respond(self, _: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            stream=Bytes(self.parts),
        )

    async def ask(
        self, parts: list[bytes]
    ) -> tuple[str, Reported | None, AttemptError | None]:
        """What came of this body."""
        self.parts = parts
        text, reported = "", None
        try:
            async for piece in self._model.stream(ASKED, Patience(5, 5)):
                if isinstance(piece, Reported):
                    reported = piece
                else:
                    text += piece
        except AttemptError as failed:
            return text, reported, failed
        return text, reported, None


def fuzz(provider: str, examples: int) -> None:
    fuzzed = Fuzzed(provider)
    with asyncio.Runner() as runner:

        @settings(
            max_examples=examples,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(cases(provider))
        def run(case: Case) -> None:
            text, reported, failure = runner.run(fuzzed.ask(case.body))
            check(case, text, reported, failure)

        run()


def check(
    case: Case, text: str, reported: Reported | None, failure: AttemptError | None
) -> None:
    places = [text.find(each) for each in case.texts]
    assert -1 not in places, (case.texts, text)
    assert places == sorted(places)
    assert [each for each in WORDS if text.count(each) > 1] == []
    assert text.encode("utf-8").decode() == text
    assert failure is None or failure.sentence.endswith(".")
    assert not (failure and case.is_whole and case.texts), failure
    if reported is not None:
        counts = (
            reported.prompt_tokens or 0,
            reported.completion_tokens or 0,
            reported.cached_tokens,
        )
        assert all(0 <= count <= 3 * MOST_TOKENS for count in counts)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_odd_stream_breaks_an_answer(provider: str) -> None:
    fuzz(provider, FEW)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_odd_stream_of_ten_thousand_breaks_an_answer(provider: str) -> None:
    for _ in range(ROUNDS):
        fuzz(provider, FEW)
