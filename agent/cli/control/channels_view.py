"""How channel settings look on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from agent.cli.output import shortened, show_json, show_table, tell
from storage.control.channel_settings import shown_setting
from storage.control.channels import ChannelView, described


def show_list(views: Sequence[ChannelView], *, as_json: bool) -> None:
    if as_json:
        show_json([_facts(view) for view in views])
        return

    rows = [
        (view.name, "stored" if view.has_credentials else "", _in_one_line(view))
        for view in views
    ]
    show_table(("CHANNEL", "CREDENTIALS", "SET"), rows)


def show_one(view: ChannelView, *, as_json: bool) -> None:
    if as_json:
        show_json(_facts(view))
        return

    values = view.form.model_dump(mode="json")
    rows = [
        (name, _text(values[name]), field.description)
        for name, field in type(view.form).model_fields.items()
    ]
    show_table(("SETTING", "VALUE", "MEANING"), rows)
    stored = "stored" if view.has_credentials else "not stored"
    tell(f"credentials {stored}; version {view.version}")


def show_change(change: tuple[ChannelView, ChannelView], /, *, as_json: bool) -> None:
    """The channel before the change and after it."""
    before, after = change
    old, new = (view.form.model_dump(mode="json") for view in change)
    if as_json:
        facts = {"before": _facts(before), "after": _facts(after)}
        show_json({**facts, "changed": old != new})
        return
    if old == new:
        tell(f"{after.name} is so already.")

    for name in new:
        if old[name] != new[name]:
            tell(f"{after.name} {name}: {_text(old[name])} → {_text(new[name])}")


def _in_one_line(view: ChannelView) -> str:
    settings = (
        f"{name} {shortened(_text(value))}"
        for name, value in described(view.form).items()
    )

    return "; ".join(settings) or "nothing"


def _text(value: object) -> str:
    return shown_setting(value) or "-"


def _facts(view: ChannelView) -> dict[str, object]:
    return {
        "channel": view.name,
        "settings": view.form.model_dump(mode="json"),
        "credentials": view.has_credentials,
        "version": view.version,
    }
