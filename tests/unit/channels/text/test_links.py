"""A link whose words name another address shows its own beside them."""

from __future__ import annotations

import pytest

from channels.markdown.links import misleads, with_honest_links


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("bank.com", "https://evil.com"),
        ("https://bank.com", "https://evil.com/bank.com"),
        ("https://bank.com", "https://bank.com@evil.com"),
        ("Go to www.bank.com now", "https://evil.com"),
        ("BANK.COM", "https://evil.com"),
        ("help@bank.com", "mailto:help@evil.com"),
        ("bank.com", "https://bank.com.evil.com"),
        ("bücher.de", "https://evil.de"),
        ("bank.com", "https://[broken"),
        ("bank.com", "javascript:alert(1)"),
    ],
)
def test_words_that_name_another_host_mislead(words: str, address: str) -> None:
    assert misleads(words, address)


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("the guide", "https://example.org"),
        ("example.org", "https://example.org/guide"),
        ("https://www.example.org/a", "https://example.org/b"),
        ("docs.example.org", "https://example.org"),
        ("example.org", "https://docs.example.org/x"),
        ("README.md", "https://example.org/README.md"),
        ("main.py", "https://example.org/x"),
        ("version 1.2.3", "https://example.org"),
        ("bücher.de", "https://xn--bcher-kva.de/x"),
        ("help@example.org", "mailto:help@example.org?subject=x"),
        ("archive.org/bank.com", "https://archive.org/bank.com"),
    ],
)
def test_words_that_name_the_host_or_none_do_not(words: str, address: str) -> None:
    assert not misleads(words, address)


@pytest.mark.parametrize(
    ("text", "honest"),
    [
        ("[bank.com](https://evil.com)", "bank.com (https://evil.com)"),
        (
            "see **[`bank.com`](https://evil.com 'x')**!",
            "see **`bank.com` (https://evil.com)**!",
        ),
        ("![bank.com](https://evil.com/p.png)", "bank.com (https://evil.com/p.png)"),
        (
            "[a [bank.com](https://evil.com)](https://evil.com)",
            "a bank.com (https://evil.com) (https://evil.com)",
        ),
        ("`[bank.com](https://evil.com)`", "`[bank.com](https://evil.com)`"),
        ("[the guide](https://example.org)", "[the guide](https://example.org)"),
        ("<https://example.org|x>", "<https://example.org|x>"),
    ],
)
def test_only_links_that_mislead_are_changed(text: str, honest: str) -> None:
    assert honest == with_honest_links(text)
