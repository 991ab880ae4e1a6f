"""Discord on loopback: REST and gateway, small and honest, for any client whose address can be set.

    async with DiscordServer() as server:
        client uses server.api_url and server.token
        town = server.add_channel("general")
        server.say(town, "hello", user="ada")
        server.screen(town)

It refuses what Discord would refuse and can be told to limit, fail, drop a session or lack
a permission.
"""

from tests.support.platforms.discord.server import DiscordServer
from tests.support.platforms.discord.values import payload

__all__ = ["DiscordServer", "payload"]
