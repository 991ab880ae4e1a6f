"""An export has all that the inventory knows of a person, or it is said why not."""

from __future__ import annotations

from collections import Counter

from storage.lifecycle import inventory
from storage.lifecycle.export import coverage
from storage.lifecycle.export.kinds import KINDS
from storage.lifecycle.inventory import Act


def test_every_column_that_names_a_person_is_exported_or_left_out_for_a_reason() -> (
    None
):
    """Each once; a new column of a person shows up here."""
    named = {
        (table, column)
        for table, rules in inventory.COLUMNS.items()
        for column, rule in rules.items()
        if rule.act is not Act.KEEP
    }
    exported = [
        (table, column)
        for table, lists in coverage.EXPORTED.items()
        for columns in lists.values()
        for column in columns.split()
    ]
    left_out = [
        (table, column)
        for table, reasons in coverage.LEFT_OUT.items()
        for columns, reason in reasons.items()
        for column in columns.split()
        if reason
    ]
    counted = Counter([*exported, *left_out])

    assert named == set(counted)
    assert {1} == {*counted.values()}


def test_what_is_exported_stands_in_a_list_and_every_list_has_something() -> None:
    lists = {one for table in coverage.EXPORTED.values() for one in table}

    assert {kind.name for kind in KINDS} | {"person"} == lists


def test_keys_and_files_of_a_person_are_left_out_for_a_reason() -> None:
    parts = {
        name
        for name in ("KEYS", "FILES", "VIEWS", "LOG_FIELDS")
        if any(rule.act is not Act.KEEP for rule in getattr(inventory, name).values())
    }

    assert parts == {*coverage.ELSEWHERE}
