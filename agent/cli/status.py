"""`agent status` and `agent doctor`: how their findings are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from agent.cli.output import show_json, show_table
from agent.cli.run import NOT_WELL, WELL
from agent.core.channel import Finding
from agent.core.errors import ConfigurationError
from agent.operations.doctor import diagnose
from agent.operations.env_file import exposure
from agent.operations.remedies import described
from agent.operations.status import Check, check_health
from agent.settings import ENV_FILE, Settings, load_settings

_STYLES = {"ok": "green", "slower": "yellow", "not well": "bold red"}


async def status(settings: Settings, *, as_json: bool) -> int:
    """Shows every part. Exit status 1 when one is not well; slower is well."""
    checks = await check_health(settings)
    well = all(check.state != "not well" for check in checks)
    if as_json:
        show_json({"well": well, "parts": [asdict(check) for check in checks]})
    else:
        _show(checks)

    return WELL if well else NOT_WELL


def _show(checks: Sequence[Check]) -> None:
    from rich.text import Text

    rows = [
        (Text(check.state, _STYLES[check.state]), check.part, check.text)
        for check in checks
    ]
    show_table((), rows)


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Tries every part and shows what to fix."""
    exposed = exposure(ENV_FILE)
    own = (
        [Finding("settings", exposed, f"Run: chmod 600 {ENV_FILE}")]
        if exposed
        else []
    )

    return show_findings([*own, *await diagnose(settings)], as_json=as_json)


def settings_findings() -> Sequence[Finding]:
    """What is wrong with the settings. If something is, nothing else can be tried."""
    try:
        load_settings()
    except ConfigurationError as error:
        return [Finding("settings", described(error), "See docs/configuration.md.")]

    return []


def show_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Shows each finding and its remedy; nothing when all is well. Returns the exit status:
    what is not urgent is well.
    """
    well = not any(finding.urgent for finding in findings)
    if as_json:
        found = [asdict(finding) for finding in findings]
        show_json({"well": well, "findings": found})
    else:
        for finding in findings:
            typer.echo(f"{finding.part}: {_joined(finding)}")

    return WELL if well else NOT_WELL


def _joined(finding: Finding) -> str:
    """Problem and remedy, unless the problem already names the remedy."""
    named = finding.remedy.rstrip(".") in finding.problem

    return finding.problem if named else f"{finding.problem} {finding.remedy}"
