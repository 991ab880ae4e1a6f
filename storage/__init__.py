"""The two stores: Postgres holds what must last, Redis makes it fast and may lose everything."""

from agent.core.imports import import_plainly

import_plainly("redis")
