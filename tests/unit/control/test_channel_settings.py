"""One model validates what an operator sets for a channel, and reads what is stored."""

from __future__ import annotations

import pytest

from agent.core.channel import ChannelSettings
from agent.core.errors import Rejected, UnknownModel
from agent.core.limits import Limit
from agent.core.messages import Overlap
from storage.control.channel_settings import (
    NOBODY,
    ChannelForm,
    changed_form,
    read_form,
    read_settings,
)

WRITTEN = {
    "default_model": "test:a",
    "system_prompt": "Be brief.\nBe kind.",
    "overlap": "queue",
    "greeting": "Hello!",
    "allowed_models": "test:a, test:b",
    "allow": "1,2",
    "deny": "3",
    "user_limit": "20/minute",
    "chat_limit": "5/10s",
    "channel_limit": "off",
    "retention": "180d",
}
MEANT = ChannelSettings(
    "test:a",
    "Be brief.\nBe kind.",
    Overlap.QUEUE,
    "Hello!",
    ("test:a", "test:b"),
    frozenset({"1", "2"}),
    frozenset({"3"}),
    Limit(20, 60),
    Limit(5, 10),
    "off",
    180,
)


def known(model: str) -> None:
    if not model.startswith("test:"):
        raise UnknownModel("A model is written test:name.")


def test_every_setting_is_written_stored_and_read_back() -> None:
    form = changed_form(ChannelForm(), WRITTEN, known)
    assert form.settings() == MEANT
    assert read_form(form.default_model, form.stored()) == form
    assert WRITTEN.keys() == ChannelForm.model_fields.keys()


def test_what_is_taken_back_is_at_its_default_and_not_stored() -> None:
    form = changed_form(ChannelForm(), WRITTEN, known)
    assert changed_form(form, dict.fromkeys(WRITTEN), known) == ChannelForm()
    assert ChannelForm().stored() == {}
    assert ChannelForm().settings() == ChannelSettings()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("overlap", "stack", "it is merge, queue or interrupt."),
        ("user_limit", "140%", "60/minute, 500/hour, 2000/day or 5/10s"),
        ("retention", "0", "it is 31 to 36500 days, or forever"),
        ("retention", "30d", "what is younger may still be on its way"),
        ("retention", "a year", "as 180d, or forever"),
        ("default_model", "gpt", "A model is written test:name."),
        ("allowed_models", "test:a,gpt", "A model is written test:name."),
        ("default_model", "test:b c", "a name is one word without commas"),
        ("system_prompt", "a\0b", "it has a NUL character"),
        ("greeting", "x" * 20_001, "at most 20000 characters"),
        (
            "colour",
            "red",
            "There is no setting 'colour'. Settings: default_model, system_prompt",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_that_names_the_allowed(
    name: str, text: str, sentence: str
) -> None:
    with pytest.raises(Rejected) as error:
        changed_form(ChannelForm(), {name: text}, known)

    assert sentence in error.value.sentence
    assert "\n" not in error.value.sentence


def test_the_default_must_be_allowed() -> None:
    with pytest.raises(
        Rejected, match="default_model must be one of allowed_models: test:b"
    ):
        changed_form(
            ChannelForm(),
            {"default_model": "test:a", "allowed_models": "test:b"},
            known,
        )


def test_one_faulty_field_does_not_take_the_others_down() -> None:
    stored = {
        "overlap": "stack",
        "greeting": 7,
        "user_limit": "5/10s",
        "of_a_newer_version": True,
    }

    assert read_settings("test:a", stored) == ChannelSettings(
        "test:a", user_limit=Limit(5, 10)
    )


@pytest.mark.parametrize("name", ["allow", "deny", "allowed_models"])
def test_where_a_list_that_keeps_out_cannot_be_read_nobody_may_talk(
    name: str,
) -> None:
    """Whatever else is set: otherwise the mistake would open a door."""
    assert {NOBODY} == read_settings(
        "test:a", {"allow": ["1"]} | {name: {"ids": ["2"]}}
    ).allow
