"""What SQL knows of the notes that answers carry."""

from __future__ import annotations

from agent.conversation.active_answer import CancelReason
from storage.conversation.operating import STATEMENTS


def test_an_answer_that_a_person_cut_is_no_trouble_in_lists() -> None:
    sql = STATEMENTS["listed_conversations"]

    for reason in (CancelReason.STOPPED, CancelReason.INTERRUPTED):
        assert f"'{reason.value}'" in sql
