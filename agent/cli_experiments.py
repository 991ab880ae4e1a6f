"""`agent experiments …`: which of several values of a flag serves people better."""

from __future__ import annotations

import typer

from agent import cli_experiments_report

app = typer.Typer(help="Experiments: which of several values of a flag serves people better.", no_args_is_help=True)
app.command()(cli_experiments_report.report)
