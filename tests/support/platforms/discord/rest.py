"""The REST routes that a chat agent and discord.py call."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.support.platforms.discord.state import shown
from tests.support.platforms.discord.values import GUILD, Refused, WrongForm, payload

if TYPE_CHECKING:
    from tests.support.platforms.discord.server import DiscordServer

MOST_BYTES = 10 * 1024 * 1024
"""https://docs.discord.com/developers/reference#uploading-files"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _json(
    body: object,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> web.Response:
    # Discord names no charset
    content = {
        "Content-Type": "application/json",
        **(headers or {}),
    }
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers=content,
    )


class Routes:
    """Each method is one route. `server` holds what they read and change."""

    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.state = server.state

    def application(self) -> web.Application:
        """Everything below `/api/v10`, and the gateway."""
        app = web.Application(
            middlewares=[self.guard], client_max_size=2 * MOST_BYTES
        )
        api = "/api/v10"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/users/@me", self.me),
            ("GET", "/users/@me/guilds", self.my_guilds),
            ("GET", "/applications/@me", self.about),
            ("GET", "/oauth2/applications/@me", self.about),
            ("PATCH", "/applications/@me", self.change_application),
            ("GET", "/gateway/bot", self.gateway),
            ("GET", "/applications/{application}/commands", self.list_commands),
            ("PUT", "/applications/{application}/commands", self.put_commands),
            ("GET", "/guilds/{guild}", self.guild),
            ("GET", "/guilds/{guild}/members/{user}", self.member),
            ("GET", "/channels/{channel}", self.channel),
            ("GET", "/channels/{channel}/messages", self.history),
            ("GET", "/channels/{channel}/messages/{message}", self.message),
            ("POST", "/channels/{channel}/messages", self.post),
            ("PATCH", "/channels/{channel}/messages/{message}", self.patch),
            ("DELETE", "/channels/{channel}/messages/{message}", self.delete),
            ("POST", "/channels/{channel}/typing", self.typing),
            ("POST", "/interactions/{id}/{token}/callback", self.callback),
            (
                "PATCH",
                "/webhooks/{application}/{token}/messages/@original",
                self.original,
            ),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, api + path, handler)

        app.router.add_get("/gateway", self.socket)

        return app

    async def socket(self, request: web.Request) -> web.StreamResponse:
        return await self.server.gateway.serve(request, self.state)

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Token, rate limits, ordered failures; then the route; refusals become Discord's
        errors.
        """
        try:
            if request.path == "/gateway":
                return await handler(request)

            self._check_token(request)
            if channel := self._outbound_to(request):
                self.server.calls.append((request.method, channel))
                if limited := self.server.faults.limit(channel):
                    return self._limited(limited)

                self.server.faults.fail(channel)
                await self.server.faults.delay(channel)

            response = await handler(request)
            response.headers.update(
                self.server.faults.bucket(request.method, channel)
            )
            return response
        except Refused as refused:
            return _json(refused.body, status=refused.status)
        except web.HTTPNotFound:
            return _json(
                payload("error", code=0, message="404: Not Found"), status=404
            )
        finally:
            self.server.heard.set()

    def _check_token(self, request: web.Request) -> None:
        carries_own = request.path.startswith(
            ("/api/v10/interactions/", "/api/v10/webhooks/")
        )
        if (
            not carries_own
            and request.headers.get("Authorization") != f"Bot {self.server.token}"
        ):
            raise Refused(401, 0, "401: Unauthorized")

    def _outbound_to(self, request: web.Request) -> str | None:
        """The channel that a call writes to."""
        if request.method == "GET":
            return None

        token = request.match_info.get("token")
        if (
            token is not None
            and request.method == "PATCH"
            and token in self.state.interactions
        ):
            return self.state.interactions[token].channel

        return request.match_info.get("channel")

    def _limited(self, limit: tuple[float, str]) -> web.Response:
        wait, scope = limit
        body = payload("rate_limited", retry_after=wait) | {
            "global": scope == "global"
        }
        headers = {
            "Retry-After": str(wait),
            "X-RateLimit-Scope": scope,
            "Via": "1.1 google",
        }

        return _json(body, status=429, headers=headers)

    async def me(self, request: web.Request) -> web.Response:
        self.server.asked_who_i_am += 1
        return _json({**self.state.bot, "locale": "en-US", "mfa_enabled": True})

    async def my_guilds(self, request: web.Request) -> web.Response:
        mine = payload("my_guild", permissions=str(self.state.permissions))
        return _json([mine] if self.state.in_guild else [])

    async def about(self, request: web.Request) -> web.Response:
        return _json(self.state.application)

    async def change_application(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "interactions_endpoint_url" in body and not self.server.endpoint_reachable:
            raise WrongForm(
                "interactions_endpoint_url",
                "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID",
                "The specified interactions endpoint url could not be verified.",
            )
        if "flags" in body and not self.server.may_set_flags:
            raise WrongForm("flags", "INVALID_FLAGS", "These flags may not be set.")

        self.state.application |= body

        return _json(self.state.application)

    async def gateway(self, request: web.Request) -> web.Response:
        return _json(payload("gateway_bot", url=self.server.gateway.url))

    async def list_commands(self, request: web.Request) -> web.Response:
        self.server.command_lists += 1
        return _json(self.state.commands)

    async def put_commands(self, request: web.Request) -> web.Response:
        wanted: list[dict[str, Any]] = await request.json()
        for number, command in enumerate(wanted):
            if not 1 <= len(command["description"]) <= 100:
                raise WrongForm(
                    f"{number}.description",
                    "BASE_TYPE_BAD_LENGTH",
                    "Must be between 1 and 100 in length.",
                )

        self.state.commands = [
            payload("command", **c, id=self.state.snowflake()) for c in wanted
        ]
        self.server.command_syncs += 1

        return _json(self.state.commands)

    async def guild(self, request: web.Request) -> web.Response:
        return _json(payload("guild", roles=self.state.roles()))

    async def member(self, request: web.Request) -> web.Response:
        return _json(payload("member", user=self.state.bot))

    async def channel(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        self.state.check(channel)
        return _json(self.state.channels[channel])

    async def history(self, request: web.Request) -> web.Response:
        """Newest first; with `after` the oldest of what came after it."""
        channel = request.match_info["channel"]
        self.state.check(channel)
        self.server.faults.fail_to_read(channel)
        if channel in self.state.hidden_history:
            raise Refused(403, 50001, "Missing Access")

        limit = int(request.query.get("limit", 50))
        if not 1 <= limit <= 100:
            raise WrongForm(
                "limit",
                "NUMBER_TYPE_MAX",
                "int value should be between 1 and 100.",
            )

        after = int(request.query.get("after", 0))
        later = [m for m in self.state.messages[channel] if int(m["id"]) > after]
        chosen = later[:limit] if "after" in request.query else later[-limit:]
        self.server.histories += 1

        return _json([shown(message) for message in chosen[::-1]])

    async def message(self, request: web.Request) -> web.Response:
        self.state.check(request.match_info["channel"])
        return _json(shown(self.state.find(request.match_info["message"])))

    async def post(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        self.state.check(channel)
        body = await self._body(channel, request)
        message = self.state.post(channel, body)
        if self.server.faults.swallow(channel):
            assert request.transport is not None
            request.transport.close()  # the message stands, the bot never hears of it

        return _json(shown(message))

    async def _body(self, channel: str, request: web.Request) -> Any:
        """What is written; a form holds a file besides."""
        if request.content_type != "multipart/form-data":
            return await request.json()
        if self.server.refuses_files or (request.content_length or 0) > MOST_BYTES:
            raise Refused(413, 40005, "Request entity too large")

        form = await request.post()
        fields, file = form["payload_json"], form["files[0]"]
        assert isinstance(fields, bytearray)
        assert isinstance(file, web.FileField)
        self.server.files.append((channel, file.filename, file.file.read()))

        return json.loads(fields)

    async def patch(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        self.state.check(channel)
        message = self.state.rewrite(
            channel, request.match_info["message"], await request.json()
        )

        return _json(shown(message))

    async def delete(self, request: web.Request) -> web.Response:
        self.state.delete(request.match_info["message"])
        return web.Response(status=204)

    async def typing(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        self.state.check(channel)
        self.state.typing[channel] += 1

        return web.Response(status=204)

    async def callback(self, request: web.Request) -> web.Response:
        self.state.respond(request.match_info["token"], await request.json())
        return web.Response(status=204)

    async def original(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        interaction = self.state.interactions.get(token)
        if interaction is None or token in self.server.expired_tokens:
            raise Refused(401, 50027, "Invalid Webhook Token")
        if interaction.message is None:
            raise Refused(404, 10015, "Unknown Webhook")

        body = await request.json()

        message = self.state.rewrite(interaction.channel, interaction.message, body)

        return _json(shown(message))


assert payload("guild")["id"] == GUILD
