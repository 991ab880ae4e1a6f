"""Everything that can name a person or hold their words, and what an erasure does there.

Tests hold it against the tables in the code, the columns of the database, the keys in Redis, the
files and the fields of log lines: what is added without a rule here does not pass. A new column
gets a line in the table of its name; a new table gets a table of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from msgspec import Struct


class Act(enum.Enum):
    """What an erasure does."""

    DELETE = "delete"
    """The row, the key or the file goes."""
    BLANK = "blank"
    """The value is emptied; the row stays for others."""
    PSEUDONYM = "pseudonym"
    """The value becomes one that names nobody."""
    KEEP = "keep"
    """It stays, for the reason that is given."""


class Rule(Struct, frozen=True):
    """What happens to one column, key, file or field, and why it is enough."""

    act: Act
    why: str


def _delete(why: str = "the row goes with the person") -> Rule:
    return Rule(Act.DELETE, why)


def _blank(why: str = "emptied") -> Rule:
    return Rule(Act.BLANK, why)


def _keep(why: str = "names nobody and holds no words") -> Rule:
    return Rule(Act.KEEP, why)


def _pseudonym(why: str) -> Rule:
    return Rule(Act.PSEUDONYM, why)


def _all(rule: Rule, *columns: str) -> dict[str, Rule]:
    return dict.fromkeys(columns, rule)


COLUMNS: Mapping[str, Mapping[str, Rule]] = {
    "users": _all(
        _delete(),
        *("id", "person_id", "channel_type", "channel_user_id", "username"),
        *("preferred_model", "created_at", "updated_at", "metadata"),
    ),
    "conversations": {
        **_all(
            _delete("a chat of the person's own goes; a group's is not theirs"),
            *("id", "channel_type", "chat_id", "thread_id", "model_override"),
            *("started_at", "last_activity", "is_active", "metadata"),
        ),
        "title": _blank("theirs if they own it; the person's name in one of others"),
        "instruction": _blank("theirs if they own it; their name in one of others"),
        "user_id": _pseudonym("a group belongs to another who spoke there"),
        **_all(
            _keep("counts and ids of claims"),
            *("version", "asked", "answered", "edited", "answering", "stopping"),
            *("owner", "lease_until", "last_turn"),
        ),
    },
    "messages": {
        "content": _blank("theirs, answers to them, quotations of them, their name"),
        "user_id": _blank(),
        "metadata": _blank("it holds the author's name"),
        **_all(
            _keep("order, time and cost of a conversation that others are in"),
            *("conversation_id", "timestamp", "seq", "id", "role", "answers"),
            *("model_used", "prompt_tokens", "token_count", "cost_usd", "latency_ms"),
        ),
        "turn_id": _keep("a hash; so a repeated delivery is no new message"),
    },
    "turns": {
        **_all(
            _blank("emptied for the person's messages and their own chats"),
            *("chat_id", "thread_id", "platform_message_id", "address", "placed"),
            "reply",
        ),
        "id": _keep("a hash; so a repeated delivery is no new message, for 30 days"),
        **_all(
            _keep(),
            *("channel_type", "state", "attempts", "created_at", "deliverer"),
            "touched_at",
        ),
    },
    "votes": _all(
        _delete(), "message_id", "user_id", "conversation_id", "thumb", "at"
    ),
    "link_codes": _all(
        _delete(), "code_hash", "user_id", "conversation_id", "expires_at"
    ),
    "feature_flags": _all(
        _delete(
            "rules for the person or their own chats; they leave the list of a named "
            "rule, which goes when it lists nobody else"
        ),
        *("scope", "name", "value", "updated_at"),
    ),
    "experiments": {
        "definition": _pseudonym("an audience of one becomes nobody"),
        **_all(_keep("an operator's words"), "name", "started_at", "ended_at"),
    },
    "channel_configs": {
        "settings": _pseudonym(
            "`allow` gets `-` in their place; `deny` stays, or they could come back"
        ),
        "credentials": _keep("encrypted, of the agent itself"),
        **_all(
            _keep("an operator's words"),
            *("id", "channel_type", "default_model", "created_at", "updated_at"),
        ),
    },
    "budgets": _all(
        _delete("of a day and of a month"),
        *("scope", "subject", "period", "tokens", "usd", "updated_at"),
    ),
    "budget_days": _all(
        _delete("of a day and of a month"),
        *("scope", "subject", "period", "day", "tokens", "usd", "alerted"),
    ),
    "budget_reservations": {
        **_all(_blank("the channel's part stays counted"), "person", "person_month"),
        **_all(
            _keep(),
            *("id", "day", "channel", "channel_month", "tokens", "usd", "made_at"),
        ),
    },
    "report_hours": {
        "user_id": _pseudonym("zeros: what they used stays counted, for nobody"),
        **_all(
            _keep("added to what nobody used in that hour"),
            *("hour", "channel_type", "model", "messages", "retries", "answers"),
            *("failures", "estimated", "unpriced", "prompt_tokens", "cached_tokens"),
            *("tokens", "cost_usd", "thumbs_up", "thumbs_down", "latencies"),
        ),
    },
    "report_state": _all(_keep(), "one", "counted_until", "cohorts_at"),
    "report_floors": _all(_keep(), "channel_type", "until"),
    "report_late_votes": _all(
        _keep("random ids of an answer, for a minute: not whose vote it was"),
        *("id", "message_id", "conversation_id"),
    ),
    "search_messages": _all(
        _delete("of what they wrote or were answered, and of texts that changed"),
        *("conversation_id", "at", "seq", "author", "words"),
    ),
    "search_state": _all(_keep(), "one", "indexed_until"),
    "search_stale": _all(
        _keep("where a text changed, until its words are read again"),
        *("id", "conversation_id", "at", "seq"),
    ),
    "earlier_texts": _all(
        _delete("with every message of a chat in which the person spoke"),
        *("id", "conversation_id", "at", "seq", "author", "changed_at", "content"),
    ),
    "system_prompts": {
        "content": _pseudonym("an operator's words, without the person's name"),
        **_all(_keep(), "hash", "used_at"),
    },
    "flag_uses": _all(
        _keep("names of flags, and a hash of how they are declared"),
        *("name", "digest", "first_at", "asked_at", "same_since"),
    ),
    "audit_log": {
        **_all(
            _pseudonym("`erased` in their place; a later row hashes what it became"),
            *("subject", "before", "after", "reason"),
        ),
        **_all(
            _keep("an operator answers for what they changed"),
            *("actor", "origin"),
        ),
        **_all(_keep(), "id", "at", "action", "epoch"),
        "hash": _keep("of the row as it was: the chain goes on"),
    },
    "audit_head": _all(_keep(), "single", "id", "hash"),
    "erasures": {
        **_all(
            _blank("when the job is done"),
            *("person_id", "accounts", "names", "places", "conversations"),
        ),
        "receipts": _keep("hashes of random ids; for backups that are restored"),
        "requested_by": _keep("an operator answers for what they changed"),
        **_all(
            _keep(),
            *("id", "step", "requested_at", "touched_at", "finished_at"),
            *("turns_until", "messages"),
        ),
    },
    "operators": _all(
        _keep("those who run the agent"),
        *("name", "added_at", "role", "password", "totp", "totp_step", "recovery"),
    ),
    "operator_sessions": _all(
        _keep("those who run the agent; it ends within a day"),
        *("id", "token_hash", "operator", "csrf", "origin", "created_at"),
        *("seen_at", "ends_at"),
    ),
    "operator_invitations": _all(
        _keep("those who run the agent; it ends within a day"),
        *("token_hash", "operator", "purpose", "created_at", "ends_at"),
    ),
    "api_tokens": _all(
        _keep("those who run the agent"),
        *("id", "token_hash", "operator", "label", "scope", "created_at"),
        *("used_at", "ends_at", "revoked_at"),
    ),
    "open_turns": _all(_keep(), "turn_id", "noted_at"),
    "sweep_floor": _all(_keep(), "one", "at"),
    "instances": _all(
        _keep("processes"),
        *("id", "host", "pid", "channels", "epoch", "started_at", "seen_at"),
    ),
    "control_epoch": _all(_keep(), "single", "epoch", "lineage", "restored_at"),
    "applied_migrations": _all(
        _keep("those who run the agent"),
        *("revision", "applied_at", "actor", "checksum", "seconds"),
    ),
    "alembic_version": _all(_keep(), "version_num"),
}
"""By table and column, as they are called in the database. Partitions are their table."""

VIEWS: Mapping[str, Rule] = {
    "report_cohorts": _keep(
        "counts of people by week and month, of `users` as they are"
    ),
}
"""Views that hold rows of their own."""

KEYS: Mapping[str, Rule] = {
    "session:": _delete("names the account"),
    "context:conv:": _delete("of each conversation that the person spoke in"),
    "active:": _delete("the account is taken out of the set"),
    "rate:": _delete("those that name the account, the person or their own chat"),
    "features:global": _pseudonym("written again without the person's rules"),
    "features:channel:": _pseudonym("written again without the person"),
    "ab_test:": _pseudonym("written again without the person"),
    "features:epoch": _keep("a channel for news, which holds a number"),
    "unreadable:": _keep("counts of events by kind"),
    "channel-states:": _keep("which channels of an instance listen"),
}
"""By how the keys of Redis begin. All but the news expire by themselves."""

FILES: Mapping[str, Rule] = {
    "terminal/history": _delete("what was typed in this machine's terminal"),
    "terminal/*.lock": _keep("empty; named by a user of this machine"),
    "flags.json": _pseudonym("written again without the person's rules"),
    "backups/": _keep("until they are old; a restored one forgets again by receipts"),
    "backups/erased.txt": _keep("hashes of random ids: the receipts"),
    "scratch/": _keep("of a backup that is being verified; it goes with the command"),
    "postgres/": _keep("the tables above; its log has no parameters"),
    "valkey/": _keep("the keys above, after its next rewrite"),
}
"""In AGENT_HOME."""

LOG_FIELDS: Mapping[str, Rule] = {
    **_all(
        _keep("ids that are random or hashes"),
        *("turn", "turns", "conversation", "seq", "covers", "head", "entries"),
    ),
    **_all(
        _keep("about the agent and its parts"),
        *("again", "again_in", "arrived", "channel", "closed_as", "count", "epoch"),
        *("error", "exc_info", "experiment", "failed", "file", "folder", "host"),
        *("kind", "messages", "month", "names", "pid", "port", "problem", "reason"),
        *("refusals", "removed", "scope", "seconds", "stale", "status", "before"),
        *("period", "percent", "tries", "part", "cause", "method", "route"),
    ),
    "subject": _keep(
        "of a budget: a channel, or a person's random id, which then leads nowhere"
    ),
}
"""Of log lines: no text, no name and no id of a platform stands in one."""
