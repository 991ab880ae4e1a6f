"""The suite's own rules."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
OF_A_TEST_FILE = re.compile(
    r"^\s*(from|import) tests\.([\w.]*\.)?(test_\w+|\w+ import [\w ,(]*\btest_\w+)",
    re.MULTILINE,
)


def test_no_test_file_imports_another() -> None:
    """What they share stands in a conftest.py or in tests/support."""
    found = [
        f"{path.relative_to(TESTS)}: {match[0].strip()}"
        for path in sorted(TESTS.rglob("*.py"))
        for match in OF_A_TEST_FILE.finditer(path.read_text("utf-8"))
    ]

    assert [] == found
