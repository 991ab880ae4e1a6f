"""The addresses of model servers, from what people write into a setting."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

_PASTED = re.compile(
    r"(/chat/completions|/completions|/responses|/models|/messages|/chat|/complete)?/*$"
)
_NEARBY = (".local", ".localhost", ".internal", ".lan", ".home.arpa", ".svc")
"""Ends of names that no public server has. A name without a dot is one of a container."""

_VERSION = re.compile(r"/v\d")  # /v1, Gemini's /v1beta, Zhipu's /v4


def chat_completions(base: str) -> tuple[str, ...]:
    """Where Chat Completions may be, the likeliest address first.

    Most servers have them at `/v1`, and their own pages often leave that out. So it is
    tried first where the base is only a host, and last where it is a path without any
    version.
    """
    parts, path = _split(base)
    if parts is None or _VERSION.search(path):
        return (_join(parts, base, path, "/chat/completions"),)

    paths = [f"{path}/v1/chat/completions", f"{path}/chat/completions"]
    return tuple(
        _join(parts, base, "", each)
        for each in (paths if not path else reversed(paths))
    )


def models(base: str) -> tuple[str, ...]:
    """Where the list of models may be: next to what answers."""
    return tuple(
        url.replace("/chat/completions", "/models") for url in chat_completions(base)
    )


def messages(base: str) -> str:
    """Where Anthropic's Messages are; the base may end in their version."""
    parts, path = _split(base)
    return _join(parts, base, path.removesuffix("/v1"), "/v1/messages")


def is_nearby(base: str) -> bool:
    """Whether the address is of this machine or its network, by what is written: no name is
    looked up.
    """
    parts, _ = _split(base)
    try:
        host = (parts.hostname or "") if parts else ""
        return not ip_address(host).is_global
    except ValueError:
        pass  # a name

    return bool(host) and ("." not in host or host.endswith(_NEARBY))


def _split(base: str) -> tuple[SplitResult | None, str]:
    """The parts, and the path without what people paste along. None: this is no address at all."""
    try:
        parts = urlsplit(base.strip())
    except ValueError:
        return None, ""
    return parts, _PASTED.sub("", parts.path)


def _join(parts: SplitResult | None, base: str, path: str, end: str) -> str:
    if parts is None:
        return f"{base}{end}"  # asking there says that it is no address

    host = parts.netloc if "@" in parts.netloc else parts.netloc.lower()
    return urlunsplit((parts.scheme, host, path + end, parts.query, ""))
