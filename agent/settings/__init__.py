"""Every setting: its meaning, its forms, and how it is read."""

from __future__ import annotations

from agent.settings.loading import ENV_FILE, load_settings, misspelled_variables
from agent.settings.model_spec import ANSWER_TOKENS, UNKNOWN_MODEL, ModelSpec
from agent.settings.providers import Provider
from agent.settings.variables import OFFLINE, Settings

__all__ = [
    "ANSWER_TOKENS",
    "ENV_FILE",
    "OFFLINE",
    "UNKNOWN_MODEL",
    "ModelSpec",
    "Provider",
    "Settings",
    "load_settings",
    "misspelled_variables",
]
