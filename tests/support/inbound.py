"""What tests read of the things that people do, and how they make them."""

from __future__ import annotations

from agent.core.messages import Deleted, Edited, Inbound, Said


def text_of(inbound: Inbound) -> str:
    """The text of a message or an edit; "" for everything else."""
    return inbound.text if isinstance(inbound, Said | Edited) else ""


def change_of(inbound: Said | Edited | Deleted, text: str | None) -> Edited | Deleted:
    """The same message with a newer text; None deletes it."""
    said = Said(
        inbound.address,
        inbound.message_id,
        inbound.user_id,
        text_of(inbound),
        username=inbound.username,
        direct=inbound.direct,
    )

    return said.deleted() if text is None else said.edited(text)
