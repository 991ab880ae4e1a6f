"""The statements of this room, under their former address."""

from storage.conversation import STATEMENTS as STATEMENTS
