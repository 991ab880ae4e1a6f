"""Connections that end as a crash or a load balancer ends them."""

from __future__ import annotations

import socket
import struct


def reset_at_end(connection: socket.socket) -> None:
    """It will end with RST instead of FIN, and what is on its way is lost."""
    connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
