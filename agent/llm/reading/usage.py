"""The tokens of an answer, by whatever names servers that speak as OpenAI call them."""

from __future__ import annotations

from agent.llm.reading.fields import Fields, count, record


def counts_in(usage: Fields) -> dict[str, int | None]:
    """`prompt`, `completion` and `cached`; None for what was not said."""
    prompt = _first(usage, "prompt_tokens", "input_tokens", "promptTokens")
    completion = _first(
        usage, "completion_tokens", "output_tokens", "completionTokens"
    )
    details = record(usage.get("prompt_tokens_details")) or record(
        usage.get("input_tokens_details")
    )
    cached = _first(details, "cached_tokens")
    if cached is None:
        cached = _first(
            usage,
            "prompt_cache_hit_tokens",  # DeepSeek
            "cached_tokens",  # Moonshot
        )

    return {
        "prompt": prompt,
        "completion": _with_thinking(usage, prompt, completion, cached),
        "cached": cached,
    }


def _with_thinking(
    usage: Fields, prompt: int | None, completion: int | None, cached: int | None
) -> int | None:
    """xAI and Gemini leave the thinking out of the completion; it is paid as a part of it.

    Only their total has it. A total that also counts the cached tokens once more is another
    matter.
    """
    total = count(usage.get("total_tokens"))
    if total is None or prompt is None or completion is None:
        return completion

    more = total - prompt - completion
    return completion if more <= 0 or more == cached else completion + more


def _first(fields: Fields, *names: str) -> int | None:
    counts = (count(fields.get(name)) for name in names)

    return next((found for found in counts if found is not None), None)
