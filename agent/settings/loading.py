"""Reading the settings of this process: the environment, and `.env`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from agent.core.errors import ConfigurationError
from agent.core.text import did_you_mean
from agent.settings.forms import check_addresses, check_secrets, check_texts
from agent.settings.proxies import Proxies
from agent.settings.variables import Settings

ENV_FILE = Path(".env")

_NAME_INSIDE = re.compile(r"\$\{([^}:]*)\}")  # with `:-` a value stands behind it

_SHARED = "OTEL_EXPORTER_OTLP_"
"""Variables that OpenTelemetry itself reads, nearly all of them near to ours."""

NEAR_VARIABLE = 0.83
"""Of two names, as difflib measures it. One letter of six may be wrong: other programs have
variables, too.
"""


def load_settings() -> Settings:
    """Reads the environment and `.env`. Raises ConfigurationError naming the setting, never
    its value.
    """
    _check_env_file(ENV_FILE)
    settings = _read()
    check_texts(settings)
    check_addresses(settings)
    check_secrets(settings)
    _hand_on_proxies(settings)
    Proxies.of_environment()  # raises ConfigurationError

    return settings


def misspelled_variables() -> list[str]:
    """A sentence for each variable that is none of ours and nearly one of them: in `.env`, and
    in the environment where it begins as one does. What is set under the right name, too, is
    no mistake.
    """
    known = {name.upper() for name in Settings.model_fields}
    starts = {name.partition("_")[0] for name in known}
    in_file = {name.upper() for name in _names_in(ENV_FILE)}
    in_environment = {name.upper() for name in os.environ}
    like_ours = {one for one in in_environment if one.partition("_")[0] in starts}
    unset = known - in_file - in_environment

    return [
        f"{ENV_FILE if name in in_file else 'The environment'} has {name}, which is no "
        f"setting.{hint}"
        for name in sorted((in_file | like_ours) - known)
        if not name.startswith(_SHARED)
        if (hint := did_you_mean(name, unset, NEAR_VARIABLE))
    ]


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        return []

    with path.open(encoding="utf-8-sig") as stream:
        return [binding.key for binding in parse_stream(stream) if binding.key]


def _read() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "settings"
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        reason = re.sub("^Input should ", "it should ", reason)
        raise ConfigurationError(
            f"{name} is not valid: {reason}. See docs/configuration.md."
        ) from error
    except RecursionError:
        raise ConfigurationError(
            "MODELS is not valid JSON: it is nested too deep. See docs/configuration.md."
        ) from None
    except SettingsError as error:  # a JSON setting that is not JSON
        name = str(error).partition('"')[2].partition('"')[0].upper() or "A setting"
        raise ConfigurationError(
            f"{name} is not valid JSON. See docs/configuration.md."
        ) from error


def _hand_on_proxies(settings: Settings) -> None:
    """Puts what `.env` says of proxies into the environment, where libraries look for it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        value = getattr(settings, name)
        if value is None or name in os.environ or name.upper() in os.environ:
            continue

        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        os.environ[name.upper()] = plain


def _check_env_file(path: Path) -> None:
    """python-dotenv passes over lines it cannot read; a person wants to hear of them."""
    if not path.is_file():
        return
    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {type(error).__name__}. Mend or remove it."
        ) from error
    for binding in bindings:
        if binding.error:
            raise ConfigurationError(
                f"{path}, line {binding.original.line}: this is no NAME=value line. Mend "
                "it or put # before it."
            )
    _check_names_inside(path, bindings)


def _check_names_inside(path: Path, bindings: list[Binding]) -> None:
    """python-dotenv puts nothing where a variable is not set: a password would be another."""
    known = {name.upper() for name in Settings.model_fields}
    set_here = {binding.key for binding in bindings}
    for binding in bindings:
        if not binding.key or binding.key.upper() not in known:
            continue

        for name in _NAME_INSIDE.findall(binding.value or ""):
            if name not in set_here and name not in os.environ:
                raise ConfigurationError(
                    f"{path}, line {binding.original.line}: {binding.key} has a name in "
                    "${…} that is not set. Set it, or write the dollar sign as %24 in an "
                    "address."
                )
