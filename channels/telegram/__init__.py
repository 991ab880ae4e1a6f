"""Telegram."""

from agent.core.imports import import_plainly

import_plainly("httpx")
import_plainly("telegram")
