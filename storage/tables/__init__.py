"""Every table, by room. Migrations make them; a test proves that both agree."""

from __future__ import annotations

from storage.tables.base import Base
from storage.tables.control import (
    AuditEntry,
    AuditHead,
    ChannelConfig,
    ControlEpoch,
    ExperimentRow,
    FeatureFlag,
)
from storage.tables.conversation import (
    Conversation,
    Instance,
    MessageRow,
    TurnRow,
    Vote,
)
from storage.tables.lifecycle import EarlierText, Erasure, SystemPrompt
from storage.tables.limits import BudgetDay, BudgetReservation, BudgetRow
from storage.tables.operators import (
    ApiToken,
    Operator,
    OperatorInvitation,
    OperatorSession,
)
from storage.tables.people import LinkCode, User
from storage.tables.reports import LateVote, ReportHour, ReportState
from storage.tables.schema import AppliedMigration
from storage.tables.search import SearchMessage, SearchStale, SearchState

__all__ = [
    "ApiToken",
    "AppliedMigration",
    "AuditEntry",
    "AuditHead",
    "Base",
    "BudgetDay",
    "BudgetReservation",
    "BudgetRow",
    "ChannelConfig",
    "ControlEpoch",
    "Conversation",
    "EarlierText",
    "Erasure",
    "ExperimentRow",
    "FeatureFlag",
    "Instance",
    "LateVote",
    "LinkCode",
    "MessageRow",
    "Operator",
    "OperatorInvitation",
    "OperatorSession",
    "ReportHour",
    "ReportState",
    "SearchMessage",
    "SearchStale",
    "SearchState",
    "SystemPrompt",
    "TurnRow",
    "User",
    "Vote",
]
