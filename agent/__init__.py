"""The conversation core: what happens to a message between a platform and the two stores."""

from agent.core.imports import import_plainly

import_plainly("structlog")
