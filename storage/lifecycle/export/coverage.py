"""Where an export has what the inventory knows of a person, or why it has it not.

Each column that an erasure deletes, blanks or replaces stands in one of the two tables; a test
compares them with the inventory.
"""

from __future__ import annotations

from collections.abc import Mapping

EXPORTED: Mapping[str, Mapping[str, str]] = {
    "users": {
        "accounts": "channel_type channel_user_id username preferred_model created_at metadata",
        "person": "person_id",
    },
    "conversations": {
        "conversations": (
            "channel_type chat_id thread_id model_override started_at last_activity "
            "is_active metadata title instruction user_id"
        ),
    },
    "messages": {"messages": "content user_id"},
    "votes": {"votes": "thumb at user_id"},
    "feature_flags": {"settings": "scope name value"},
    "experiments": {"settings": "definition"},
    "channel_configs": {"settings": "settings"},
    "budgets": {"settings": "scope subject period tokens usd"},
    "budget_days": {"budget_days": "scope subject period day tokens usd"},
    "report_hours": {"usage": "user_id"},
    "earlier_texts": {"earlier_texts": "at author changed_at content"},
}
"""By table and list of the export: columns."""

LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "users": {
        "id": "a random id of this database",
        "updated_at": "when the row was last written",
    },
    "conversations": {"id": "a random id of this database"},
    "messages": {
        "metadata": "their name again, an operator's, and how the message was carried"
    },
    "turns": {
        "chat_id thread_id platform_message_id address placed": (
            "where on the platform a message stands, for 30 days"
        ),
        "reply": "what a command said, for an hour: they read it",
    },
    "votes": {"message_id conversation_id": "random ids of this database"},
    "link_codes": {
        "code_hash user_id conversation_id expires_at": "a hash, for ten minutes"
    },
    "feature_flags": {"updated_at": "when an operator wrote the row"},
    "budgets": {"updated_at": "when an operator wrote the row"},
    "budget_days": {"alerted": "whether an operator was told"},
    "budget_reservations": {
        "person person_month": "of an answer under way, for minutes"
    },
    "search_messages": {
        "conversation_id at seq author words": "words of messages that are in it"
    },
    "earlier_texts": {"id conversation_id seq": "ids of this database"},
    "system_prompts": {"content": "the operator's words"},
    "audit_log": {
        "subject before after reason": (
            "the operators' record, which names them: ask the operator"
        )
    },
    "erasures": {
        "person_id accounts names places conversations": (
            "of an erasure under way; then nothing is handed over"
        )
    },
}
"""By table and columns: why they are in no list."""

ELSEWHERE: Mapping[str, str] = {
    "KEYS": "copies of what Postgres has, for minutes to hours",
    "FILES": "copies of what Postgres has, and what was typed on this machine",
}
"""Parts of the inventory without a list: why."""
