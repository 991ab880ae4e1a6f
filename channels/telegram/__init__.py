"""Telegram."""

from agent.core.plain_imports import import_plainly

import_plainly("httpx")
