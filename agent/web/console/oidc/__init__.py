"""Signing in with OpenID Connect: the code flow with PKCE, state and nonce."""

from agent.core.imports import import_plainly

import_plainly("httpx")
