"""Channels in the console: whether they listen, what is wrong, and what is set for them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence

from agent.core.channel import Finding
from agent.core.errors import ConfigurationError
from agent.web.console.services import Services
from agent.web.presence import tell_channels
from agent.web.state import Service
from storage.control.channels import (
    ChannelAdmin,
    ChannelView,
)
from storage.control.credentials import (
    Secrets,
    new_key,
)
from storage.reports.channels import (
    RedisUnreadable,
    tell_states,
    told_states,
)
from storage.reports.status import LiveInstance
from tests.support.browser import (
    Browser,
    Page,
    register,
)
from tests.support.operators import (
    ADA,
    BOB,
)
from tests.support.settings import (
    run,
    set_channel,
)

PATH = "/channels/slack"
HARM = "<script>alert(1)</script>\u202eevil"
HERE = (socket.gethostname(), os.getpid())
LIVE = (
    "INSERT INTO instances (id, host, pid, channels)"
    " VALUES (gen_random_uuid(), $1, $2, ARRAY['slack'])"
)


def admin(
    services: Services,
) -> ChannelAdmin:
    stores = services.stores

    return ChannelAdmin(
        stores.database,
        stores.pipe,
        services.models.check,
    )


async def slack(
    ada: Browser,
) -> ChannelView:
    return await admin(ada.services).get("slack")


async def change(ada: Browser, page: Page, **fields: str) -> Page:
    """Sends the form with these fields, and agrees if it asks."""
    shown = {
        **page.form(PATH).fields,
        **fields,
    }
    asked = await ada.post(PATH, shown)

    return await ada.send(asked, PATH) if "agreed" in asked.html else asked


class Silent:
    """A channel that knows what is wrong with it."""

    name = "slack"

    def __init__(self, *problems: str | Exception) -> None:
        self.problems = problems
        self.tries = 0

    async def diagnose(
        self,
    ) -> Sequence[Finding]:
        self.tries += 1
        for one in self.problems:
            if isinstance(one, Exception):
                raise one

        return [
            Finding(
                "slack",
                str(one),
                "Invite it.",
            )
            for one in self.problems
        ]


def runs_here(
    ada: Browser,
    channel: object,
    trouble: str | None,
) -> None:
    """As `agent serve` has it in its state."""
    service = Service("slack", channel)  # type: ignore[arg-type]
    service.tell(trouble)
    ada.services.state.services = [service]


async def test_settings_are_changed_once_that_is_agreed_to(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await set_channel(
        ada.services.stores.database.url,
        "slack",
        deny=["U1"],
    )
    page = await ada.get(PATH)
    fields = dict(page.form(PATH).fields)
    fields |= {
        "system_prompt": "Be\r\nkind.",
        "user_limit": "5/10s",
        "reason": "calm",
    }
    asked = await ada.post(PATH, fields)
    before = (await slack(ada)).form
    done = await ada.send(asked, PATH)
    after = (await slack(ada)).form
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action, reason FROM audit_log WHERE subject = 'channel:slack'",
    )

    assert "Change system_prompt, user_limit for everybody on slack?" in asked.text
    assert (None, None) == (before.system_prompt, before.user_limit)
    assert "slack: system_prompt, user_limit changed" in done.text
    assert ("Be\nkind.", "5/10s") == (after.system_prompt, str(after.user_limit))
    assert ("U1",) == after.deny
    assert [("ada", "channel.set", "calm")] == [tuple(row) for row in log]


async def test_an_emptied_field_is_the_default_and_an_untouched_form_changes_nothing(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await set_channel(
        ada.services.stores.database.url,
        "slack",
        greeting="Hi",
    )
    page = await ada.get(PATH)
    same = await change(ada, page)
    emptied = await change(
        ada,
        same,
        greeting="",
    )

    assert "Nothing was changed." in same.text
    assert "greeting changed" in emptied.text
    assert "" == (await slack(ada)).form.greeting


async def test_a_stale_form_keeps_what_was_typed_and_undoes_nothing(
    ada: Browser,
) -> None:
    """What somebody else changed meanwhile stays, also when the form is sent once more."""
    await ada.sign_in("ada")
    await register(
        ada.services,
        "bob",
        "operator",
    )
    page = await ada.get(PATH)
    await admin(ada.services).set(
        "slack",
        {"chat_limit": "9/minute"},
        BOB,
    )
    stale = await change(
        ada,
        page,
        greeting="Hello",
    )
    kept = (await slack(ada)).form
    again = await change(ada, stale)
    form = (await slack(ada)).form

    assert (409, True) == (stale.status, "was changed meanwhile" in stale.text)
    assert ("", "9/minute") == (kept.greeting, str(kept.chat_limit))
    assert "greeting changed" in again.text
    assert ("Hello", "9/minute") == (form.greeting, str(form.chat_limit))


BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({"user_limit": "often"}, "user_limit is not valid"),
    ({"overlap": "dance"}, "overlap is not valid"),
    ({"default_model": "nobody:knows"}, "There are test:model"),
    ({"retention": "x"}, "retention is not valid"),
    (
        {
            "greeting": "Hi",
            "reason": "a\nb",
        },
        "A reason",
    ),
)


async def test_what_cannot_be_is_a_sentence_and_changes_nothing(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    page = await ada.get(PATH)
    for fields, sentence in BAD:
        refused = await change(
            ada,
            page,
            **fields,
        )

        assert (422, True) == (refused.status, sentence in refused.text), refused.text
    assert 0 == (await slack(ada)).version


async def test_a_viewer_sees_and_changes_nothing(
    ada: Browser,
) -> None:
    csrf = (await ada.sign_in("ada", "viewer")).csrf
    shown = await ada.get(PATH)
    sent = {
        "csrf": csrf,
        "greeting": "Hi",
        "was.greeting": "",
        "version": "0",
    }
    refused = await ada.post(PATH, sent)

    assert "Stands before the first answer" in shown.text
    assert ["/sign-out"] == [
        one.action for one in shown.forms if "csrf" in one.fields
    ]
    assert 403 == refused.status
    assert 0 == (await slack(ada)).version


async def test_each_instance_shows_which_channels_are_silent(
    ada: Browser,
) -> None:
    """This one knows its own; what the others told stands in Redis."""
    database = ada.services.stores.database.url
    for host, pid in (HERE, ("elsewhere", 7), ("mute", 8)):
        await run(
            database,
            LIVE,
            host,
            pid,
        )
    why = "Slack refused the token."
    await tell_states(
        ada.services.stores.pipe,
        "elsewhere",
        7,
        {"slack": why},
    )
    runs_here(
        ada,
        None,
        None,
    )
    RedisUnreadable(ada.services.stores.pipe).note("slack", "message")
    await ada.sign_in("ada", "viewer")
    page = (await ada.get("/channels")).text

    assert f"listens on {HERE[0]} ({HERE[1]})" in page
    assert f"silent on elsewhere (7) {why} What is wrong?" in page
    assert "unknown on mute (8) It runs there" in page
    assert "discord runs on no instance" in page


async def test_an_instance_tells_the_others_how_its_channels_are(
    ada: Browser,
) -> None:
    """What no version of this one wrote is as if nothing was told."""
    pipe = ada.services.stores.pipe
    here = LiveInstance(*HERE, ["slack"])
    runs_here(
        ada,
        None,
        "It ended.",
    )
    async with tell_channels(
        ada.services.state,
        pipe,
    ):
        async with asyncio.timeout(10):
            while [None] == (told := await told_states(pipe, [here])):
                await asyncio.sleep(0.01)

    await pipe.send(("SET", f"channel-states:{HERE[0]}:{HERE[1]}", "[1]"))

    assert [{"slack": "It ended."}] == told
    assert [None] == await told_states(pipe, [here])


async def test_a_silent_channel_is_tried_and_says_what_is_wrong(
    ada: Browser,
) -> None:
    await run(
        ada.services.stores.database.url,
        LIVE,
        *HERE,
    )
    await ada.sign_in("ada", "viewer")
    found = Silent("It is in no channel.")
    runs_here(
        ada,
        found,
        "It is signing in.",
    )
    page = await ada.get(PATH)
    wrong = await ada.get(f"{PATH}/findings")
    runs_here(
        ada,
        Silent(ConfigurationError("The token is wrong.")),
        "It ended.",
    )
    failed = await ada.get(f"{PATH}/findings")
    runs_here(
        ada,
        well := Silent(),
        None,
    )
    tried = [await ada.get(f"{PATH}/findings") for _ in range(6)]
    elsewhere = await ada.get("/channels/discord/findings")

    assert "silent" in page.text
    assert f'hx-get="{PATH}/findings"' in page.html
    assert "It is in no channel. Invite it." in wrong.text
    assert "The token is wrong." in failed.text
    assert "nothing is wrong" in tried[0].text
    assert "tried several times just now" in tried[-1].text
    assert (1, 4) == (found.tries, well.tries)
    assert "does not run on the instance" in elsewhere.text


async def test_credentials_are_never_shown(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    secrets = Secrets([new_key()])
    token = "xoxb-secret-4711"
    await admin(ada.services).set_credential(
        "slack", "bot_token", token, ADA, secrets
    )
    for path in ("/channels", PATH, "/audit", "/"):
        assert token not in (await ada.get(path)).html, path

    assert "stored, encrypted" in (await ada.get(PATH)).text
    assert "none are stored" in (await ada.get("/channels/telegram")).text


async def test_what_operators_wrote_is_shown_harmlessly(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    url = ada.services.stores.database.url
    await set_channel(
        url,
        "slack",
        system_prompt=HARM,
        greeting=HARM,
    )
    await run(
        url,
        LIVE,
        "<script>alert(1)</script>",
        9,
    )
    await admin(ada.services).set(
        "slack",
        {"greeting": f"{HARM}2"},
        ADA,
    )
    for path in ("/channels", PATH, f"{PATH}/findings", f"/channels/{HARM}"):
        page = await ada.get(path)
        assert "<script>alert" not in page.html, path
    listed = await ada.get("/channels")

    assert "&lt;script&gt;" in listed.html
    assert "\u202e" not in listed.html
    assert 404 == (await ada.get("/channels/slck")).status
