"""An amount of nothing is a number to every program: Python writes 0E-8 for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from pydantic import TypeAdapter

from agent.cli.output import show_json
from agent.cli.reports.views import _plain
from agent.reports.export import to_csv
from agent.web.api.protocol.amounts import Dollars
from storage.lifecycle.export.package import _json

NAME = "cost_usd"


def by_the_api(amount: Decimal) -> str:
    return str(json.loads(TypeAdapter(Dollars).dump_json(amount)))


def by_a_report(amount: Decimal) -> str:
    return by_any_other_command(amount, _plain)


def by_any_other_command(
    amount: Decimal, document: Callable[[dict[str, Any]], object] = dict
) -> str:
    with redirect_stdout(StringIO()) as shown:
        show_json(document({NAME: amount}))
    return str(json.loads(shown.getvalue())[NAME])


def by_a_csv_file(amount: Decimal) -> str:
    return to_csv([NAME], [{NAME: amount}]).decode().split()[1]


def by_a_persons_export(amount: Decimal) -> str:
    return str(json.loads(_json({NAME: amount}))[NAME])


@pytest.mark.parametrize(
    "written",
    [
        by_the_api,
        by_a_report,
        by_any_other_command,
        by_a_csv_file,
        by_a_persons_export,
    ],
)
@pytest.mark.parametrize("amount", ["0.00000000", "0.00000001", "12345.60000000"])
def test_it_has_all_its_digits(
    written: Callable[[Decimal], str], amount: str
) -> None:
    assert amount == written(Decimal(amount))
