"""What docs/security.md says is held by a test is held by one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_each_test_that_the_page_names_is_there() -> None:
    """A name may end in `…`; a file stands for all its tests."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    defined = {
        name
        for path in files
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    named = re.findall(r"`(test_\w+)(…|\.py)?`", PAGE)
    known = {path.stem for path in files}

    missing = [
        name
        for name, end in named
        if not (
            name in known
            if end == ".py"
            else any(one.startswith(name) for one in defined)
            if end
            else name in defined
        )
    ]
    assert len(named) > 50
    assert [] == missing
