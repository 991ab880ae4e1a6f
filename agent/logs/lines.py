"""Log lines on standard error: the agent's own and its libraries' in one shape. No secret
gets through.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import TextIO
from urllib.parse import unquote, urlsplit

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.logs.tracebacks import plain
from agent.settings import Settings

OURS = ("agent", "channels", "storage", "migrations")
ANNOUNCEMENTS = "agent.announcements"
"""The logger of the few lines that a person wants to see of a healthy server."""

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_SHORTEST_SECRET = 4  # shorter ones would blacken ordinary words
_hidden: list[
    str
] = []  # what no line shows; the longest first, since one may be part of another


def configure_logging(settings: Settings, *, for_good: bool = False) -> None:
    """From now on everything is logged at LOG_LEVEL in LOG_FORMAT.

    `for_good`: this process configures it no more, so loggers are made once, not for each line.

    Libraries are heard from `warning` on whatever LOG_LEVEL says: below it some of them log
    URLs with tokens.
    """
    _hidden.clear()
    hide(settings)
    level = _LEVELS[settings.log_level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=for_good,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=_shape(settings),
            foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    announced = level if level > logging.WARNING else min(level, logging.INFO)
    logging.getLogger(ANNOUNCEMENTS).setLevel(announced)


def announce(sentence: str, **facts: object) -> None:
    """Logs a line that is shown at the default level, too; only LOG_LEVEL=error hides it.

    `facts` are fields of JSON lines. As text the sentence has to do alone.
    """
    logger = structlog.wrap_logger(
        logging.getLogger(ANNOUNCEMENTS),
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    logger.info(sentence, **facts)


def hide(settings: Settings) -> None:
    """From now on no line shows the secrets of these settings."""
    _hidden[:] = sorted({*_hidden, *secrets_of(settings)}, key=len, reverse=True)


def secrets_of(settings: Settings) -> set[str]:
    """Every secret that the settings hold, passwords inside URLs included."""
    return {
        secret for secret in _secrets(settings) if len(secret) >= _SHORTEST_SECRET
    }


def _secrets(settings: Settings) -> Iterator[str]:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, SecretStr):
                yield item.get_secret_value()
                yield from _password(item.get_secret_value())
    for provider in settings.providers.values():
        yield from _password(provider.base_url)
        if provider.api_key:
            yield provider.api_key.get_secret_value()


def _password(url: str) -> Iterator[str]:
    try:
        password = urlsplit(url).password
    except ValueError:  # not a URL
        return
    if password:
        yield password
        yield unquote(password)


class _StandardError(logging.StreamHandler[TextIO]):
    """Asks for `sys.stderr` each time: a prompt replaces it while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _shape(settings: Settings) -> list[Processor]:
    debug = settings.log_level == "debug"
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.ExceptionRenderer(plain)
        if debug
        else _without_traceback,
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_format == "json"
        else _text,
        _redact,
    ]


def _without_traceback(
    _logger: WrappedLogger, _method: str, event: EventDict
) -> EventDict:
    event.pop("exc_info", None)
    return event


def _text(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    line = [event.pop("at"), event.pop("level"), str(event.pop("event"))]
    traceback = event.pop("exception", None)
    if event.pop("logger", None) == ANNOUNCEMENTS:
        if sys.stderr.isatty():
            return str(line[-1])

        event.clear()

    line += [f"{key}={value}" for key, value in event.items()]
    return "  ".join(line) + (f"\n{traceback}" if traceback else "")


def _redact(_logger: WrappedLogger, _method: str, line: EventDict | str) -> str:
    text = str(line)
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text
