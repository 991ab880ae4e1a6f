"""discord.py, imported in one place.

Its voice part imports `audioop`, which Python warns about; nothing here speaks.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)
    import discord
    from discord.gateway import DiscordWebSocket
    from discord.http import HTTPClient, Route

__all__ = ["DiscordWebSocket", "HTTPClient", "Route", "discord"]
