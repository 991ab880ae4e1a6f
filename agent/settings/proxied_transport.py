"""HTTP with httpx, through the proxy that the environment names for each address.

httpx reads these variables by itself, but a range such as fe80::/10 in NO_PROXY ends it.
"""

from __future__ import annotations

import ssl

import httpx

from agent.settings.proxies import Proxies


class ProxiedTransport(httpx.AsyncBaseTransport):
    """Directly or through a proxy, each with a pool of connections.

    It may be closed and used again.
    """

    def __init__(
        self, limits: httpx.Limits, context: ssl.SSLContext | None = None
    ) -> None:
        """`context`: how certificates are checked.

        Raises ConfigurationError when a proxy's variable is wrong.
        """
        self._limits = limits
        self._context = context
        self._proxies = Proxies.of_environment()
        self._pools: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        pool = self._pool(self._proxies.for_url(str(request.url)))
        try:
            return await pool.handle_async_request(request)
        # anyio's own, on uvloop, when the connection ended while TLS shook hands
        except AttributeError as error:
            raise httpx.ConnectError("The connection ended.") from error

    def _pool(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        pool = self._pools.get(proxy)
        if pool is None:
            context = self._context or httpx.create_ssl_context()
            pool = httpx.AsyncHTTPTransport(
                verify=context, limits=self._limits, proxy=proxy
            )
            self._pools[proxy] = pool

        return pool

    async def aclose(self) -> None:
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()
