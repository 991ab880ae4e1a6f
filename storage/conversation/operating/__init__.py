"""What operators do with conversations: find them, read them, ask why, stop and end them,
and have the last message answered again.
"""

from __future__ import annotations

from storage.connecting.statements import read_statements

STATEMENTS = read_statements(__name__)
