"""A Redis URL is read as redis-cli reads it; what is odd is named, and nothing of it ends
the agent.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.connecting.redis_url import read_redis_url
from storage.connecting.urls import UnreadableUrl
from storage.redis import open_redis

HERE = {"host": "h", "port": 6379, "db": 0}

LEGAL: list[tuple[str, dict[str, Any]]] = [
    ("redis://h:6379/0", HERE),
    ("redis://h", HERE),
    (" REDIS://h/\n", HERE),
    ("'redis://h'", HERE),
    ('"redis://h/0"', HERE),
    ("valkey://h", HERE),
    ("redis://", {"host": "localhost"}),
    ("redis://:7", {"host": "localhost", "port": 7}),
    ("redis://h/3", {"db": 3}),
    ("redis://h/0?db=3", {"db": 3}),
    ("redis://[::1]:7/1", {"host": "::1", "port": 7, "db": 1}),
    ("redis://:pw@h", {"password": "pw"}),
    ("redis://pw@h", {"password": "pw"}),
    ("redis://ada:pw@h", {"username": "ada", "password": "pw"}),
    ("redis://ada:p%40s%2Fs%3A%25@h", {"password": "p@s/s:%"}),
    ("redis://ada:p#?s+@h/1", {"password": "p#?s+", "db": 1}),
    ("redis://h?username=ada&password=pw", {"username": "ada", "password": "pw"}),
    ("redis://h?family=0", HERE),
    (
        "redis://h?decode_responses=True&protocol=3&socket_timeout=0&max_connections=1",
        HERE,
    ),
    ("rediss://h", HERE),
    ("rediss://h?ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
    ("rediss://h?ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none"}),
    (
        "rediss://h?ssl_cert_reqs=required&ssl_check_hostname=false",
        {"ssl_check_hostname": False},
    ),
    (f"rediss://h?ssl_ca_certs={__file__}", {"ssl_ca_certs": __file__}),
    ("redis://h?ssl=true&ssl_cert_reqs=none", {"ssl_cert_reqs": "none"}),
    ("unix:///run/redis.sock", {"path": "/run/redis.sock", "db": 0}),
    (
        "unix://:pw@/run/my%20redis.sock?db=2",
        {"path": "/run/my redis.sock", "db": 2, "password": "pw"},
    ),
    ("redis+socket:///run/redis.sock", {"path": "/run/redis.sock"}),
    ("REDIS_URL=redis://h", HERE),
    ('export REDIS_URL="redis://h"', HERE),
    ("redis-cli -u redis://h", HERE),
]


@pytest.mark.parametrize(("url", "expected"), LEGAL, ids=[url for url, _ in LEGAL])
async def test_a_legal_url_is_read(url: str, expected: dict[str, Any]) -> None:
    """Also what redis-py makes of it has no objection."""
    options = read_redis_url(url).options
    assert expected == {name: options[name] for name in expected}
    async with open_redis(url) as pipe:
        assert pipe.usable


@pytest.mark.parametrize(
    "url",
    [
        "rediss://h",
        "valkeys://h",
        "redis+tls://h",
        "redis://h?ssl=true",
        "redis://h?tls=1",
        "redis-cli --tls -u redis://h",
    ],
)
def test_tls_is_spoken_where_it_is_asked_for(url: str) -> None:
    assert (True, False) == (
        read_redis_url(url).tls,
        read_redis_url("redis://h?ssl=false").tls,
    )


ODD = [
    ("redis://h?family=0", "family", True),
    ("redis://h?family=0&nosuch=1", "family, nosuch", True),
    ("localhost:6379", "is not a URL", False),
    ("http://:secret@localhost", "is not a Redis URL", False),
    ("redis+cluster://a:secret@h", "cluster", False),
    ("redis+sentinel://h/x", "sentinel", False),
    ("redis://a,b", "several hosts", False),
    ("redis://h/cache", "a database", False),
    ("redis://h?db=one", "a database", False),
    ("redis://h:port", "a port", False),
    ("redis://:sec/ret@h", "a port", False),
    ("redis://[::1", "an IPv6 address", False),
    ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs", False),
    ("rediss://h?ssl_ca_certs=/no/such/file", "ssl_ca_certs", False),
    ("rediss://h?ssl_check_hostname=x", "ssl_check_hostname", False),
    ("redis://h?nosuch", "nosuch", False),
    ("redis://:${REDIS_PASSWORD}@h", "a placeholder", False),
]


@pytest.mark.parametrize(("url", "named", "usable"), ODD)
async def test_what_is_odd_is_a_sentence_and_no_error(
    url: str, named: str, usable: bool
) -> None:
    """What nobody knows is passed over; where nothing can be read, it is as if Redis were away."""
    async with open_redis(url) as pipe:
        assert (
            "REDIS_URL" in pipe.trouble,
            named in pipe.trouble,
            "secret" in pipe.trouble,
        ) == (True, True, False)
        assert (usable, usable) == (pipe.usable, pipe.available)
        if not usable:
            assert await pipe.send(("PING",)) is None


@given(st.text())
def test_any_text_is_read_or_named(text: str) -> None:
    for url in (text, f"redis://{text}", f"rediss://h?{text}", f"unix://{text}"):
        try:
            read_redis_url(url)
        except UnreadableUrl as error:
            assert error.reason
