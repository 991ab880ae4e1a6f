"""Signing in with OpenID Connect: the code flow with PKCE, state and nonce."""
