"""The list of migrations, which a running server reads for the page of its stores."""

from __future__ import annotations

import subprocess
import sys

from alembic.script import ScriptDirectory

from storage.migrate.revisions import migrations
from storage.migrate.running import alembic_config

LISTED = """
import sys
from storage.migrate.revisions import migrations
assert migrations()
print(*sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
"""


def test_the_list_is_what_alembic_would_run() -> None:
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()

    assert [(one.revision, one.title) for one in migrations()] == [
        (script.revision, _title(script.doc)) for script in [*scripts][::-1]
    ]


def test_a_server_that_shows_the_list_waits_for_no_import() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LISTED], capture_output=True, check=True, text=True
    )

    assert ran.stdout.strip() == ""


def _title(doc: str) -> str:
    """The first sentence, without what stands in brackets."""
    return " ".join(doc.split()).partition(". ")[0].partition(" (")[0].rstrip(".")
