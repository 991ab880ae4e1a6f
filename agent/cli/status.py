"""`agent status` and `agent doctor`: how their findings are shown."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import asdict

from agent.cli.output import show_json, show_table, tell
from agent.cli.run import NOT_WELL, WELL
from agent.core.channel import Finding
from agent.core.errors import ConfigurationError, Rejected
from agent.core.text import did_you_mean
from agent.operations.acknowledged import acknowledged, forget, keep, name_of
from agent.operations.doctor import diagnose
from agent.operations.env_file import exposure
from agent.operations.remedies import described
from agent.operations.status import Check, check_health
from agent.settings import ENV_FILE, Settings, load_settings, misspelled_variables

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


async def doctor(
    settings: Settings, *, as_json: bool, shows_all: bool = False
) -> int:
    """Tries every part and shows what to fix; what was acknowledged only if `shows_all`."""
    found = await _all_findings(settings)
    known = acknowledged(settings.agent_home)
    known_of = [one for one in found if name_of(one) in known]
    opened = [one for one in found if name_of(one) not in known]
    if not shows_all:
        return show_findings(opened, as_json=as_json)
    if as_json:
        return show_findings(opened, as_json=True, acknowledged=known_of)

    for finding in known_of:
        tell(f"{finding.part}: {_joined(finding)} ({known[name_of(finding)]})")

    return show_findings(opened, as_json=False)


async def acknowledge(settings: Settings, part: str, by: str) -> int:
    """What is found of this part today is shown no more. Raises Rejected when nothing is found."""
    found = await _all_findings(settings)
    chosen = [one for one in found if one.part == part]
    if not chosen:
        parts = sorted({one.part for one in found})
        raise Rejected(
            f"Nothing is found of {part!r}.{did_you_mean(part, parts)} There are findings "
            f"of: {', '.join(parts) or 'nothing'}."
        )

    keep(settings.agent_home, chosen, by)
    for finding in chosen:
        tell(f"Acknowledged: {finding.part}: {finding.problem}")

    return WELL


async def withdraw(settings: Settings, part: str) -> int:
    """What was acknowledged of this part is shown again. Raises Rejected when nothing was."""
    forgotten = forget(settings.agent_home, part)
    tell(f"{part}: {forgotten} acknowledged before, shown again from now on.")

    return WELL


async def _all_findings(settings: Settings) -> list[Finding]:
    exposed = exposure(ENV_FILE)
    own = [
        Finding("settings", sentence, "Correct its name, or remove it.")
        for sentence in misspelled_variables()
    ]
    if exposed:
        own.append(Finding("settings", exposed, f"Run: chmod 600 {ENV_FILE}"))

    return [*own, *await diagnose(settings)]


def settings_findings() -> Sequence[Finding]:
    """What is wrong with the settings. If something is, nothing else can be tried."""
    try:
        load_settings()
    except ConfigurationError as error:
        return [Finding("settings", described(error), "See docs/configuration.md.")]

    return []


def show_findings(
    findings: Sequence[Finding],
    *,
    as_json: bool,
    acknowledged: Sequence[Finding] | None = None,
) -> int:
    """Shows each finding and its remedy; nothing when all is well. Returns the exit status:
    what is not urgent is well.

    JSON also has those that were `acknowledged`, if they are given.
    """
    well = not any(finding.urgent for finding in findings)
    if as_json:
        document = {"well": well, "findings": [*map(asdict, findings)]}
        if acknowledged is not None:
            document["acknowledged"] = [*map(asdict, acknowledged)]
        show_json(document)
    else:
        for finding in findings:
            tell(f"{finding.part}: {_joined(finding)}")

    return WELL if well else NOT_WELL


def _joined(finding: Finding) -> str:
    """Problem and remedy, unless the problem already names the remedy."""
    named = finding.remedy.rstrip(".") in finding.problem

    return finding.problem if named else f"{finding.problem} {finding.remedy}"
