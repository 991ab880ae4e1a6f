"""Experiments in the console: by the same functions as the commands, with the operator's name."""

from __future__ import annotations

from agent.control.experiments import Stage
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.targets import RuleTarget
from tests.support.browser import (
    Browser,
    Page,
    register,
)
from tests.support.experiment_data import (
    NAME,
    ExperimentData,
)
from tests.support.operators import (
    ADA,
    BOB,
)
from tests.support.settings import run

PATH = f"/experiments/{NAME}"
HARM = "<script>alert(1)</script>\u202eevil"


def admin(
    ada: Browser,
) -> ExperimentAdmin:
    stores = ada.services.stores

    return ExperimentAdmin(
        stores.database,
        stores.pipe,
        ada.services.flags.check,
    )


async def draft(ada: Browser, **more: str) -> Page:
    """Sends the form of the list; a select is no input, so its value is named here."""
    fields = {
        "do": "create",
        "flag": "system_prompt",
        "name": NAME,
        "variant.0": "control",
        "variant.1": "short",
        "value.1": "Be brief.\r\nVery.",
    }

    return await ada.send(
        await ada.get("/experiments"),
        "/experiments#new",
        **{
            **fields,
            **more,
        },
    )


async def step(ada: Browser, page: Page, do: str, **more: str) -> Page:
    """Sends what a form of the page would, and agrees if it asks."""
    version = page.version
    sent = {
        "csrf": page.csrf,
        "do": do,
        "version": version,
        **more,
    }
    asked = await ada.post(PATH, sent)

    return await ada.send(asked, PATH) if "agreed" in asked.html else asked


async def stored(
    ada: Browser,
) -> tuple[Stage, object]:
    view = await admin(ada).get(NAME)

    return view.stage, view.experiment.variants[1].value


async def people(
    data: ExperimentData,
    variant: str,
    count: int,
    more: int,
) -> None:
    """Some with one answer, some with two."""
    for number in range(count):
        person = data.person()
        for _ in range(1 + (number < more)):
            data.reply(person, variant)


async def test_an_experiment_from_its_draft_to_its_end(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    drafted = await draft(ada, reason="as planned")
    assert "shorter is drafted." in drafted.text
    assert (Stage.DRAFTED, "Be brief.\nVery.") == await stored(ada)

    asked = await ada.post(
        PATH,
        {
            "csrf": drafted.csrf,
            "do": "start",
            "version": drafted.version,
        },
    )
    assert "Start shorter on system_prompt for everybody?" in asked.text
    assert (Stage.DRAFTED, "Be brief.\nVery.") == await stored(ada)
    started = await ada.send(asked, PATH)
    assert "shorter is started." in started.text
    assert Stage.RUNNING == (await stored(ada))[0]

    stopped = await step(
        ada,
        started,
        "stop",
        reason="enough",
    )
    assert "shorter is stopped." in stopped.text
    assert Stage.ENDED == (await stored(ada))[0]
    asked = await ada.post(
        PATH,
        {
            "csrf": stopped.csrf,
            "do": "ship",
            "version": stopped.version,
            "variant": "short",
        },
    )
    assert "Set system_prompt for everybody to the value of short?" in asked.text
    shipped = await ada.send(asked, PATH)
    flag = await ada.services.flags.get("system_prompt")
    log = await run(
        ada.services.stores.database.url,
        "SELECT actor, action, reason FROM audit_log WHERE subject LIKE 'experiment:%'"
        " ORDER BY id",
    )

    assert "shorter had ended." in shipped.text
    assert {"global": "Be brief.\nVery."} == dict(flag.rules)
    assert [
        ("ada", "experiment.create", "as planned"),
        ("ada", "experiment.start", None),
        ("ada", "experiment.stop", "enough"),
    ] == [tuple(row) for row in log]


async def test_a_draft_is_removed_and_copied(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    page = await draft(
        ada,
        share="12.5",
        detect="20",
        channels="slack telegram",
    )
    copied = await ada.get(f"/experiments?copy={NAME}")
    more = await ada.send(
        copied,
        "/experiments#new",
        do="more",
        name="second",
    )
    removed = await step(
        ada,
        page,
        "remove",
    )

    for part in ('value="12.5"', 'value="20"', "slack telegram", "Be brief."):
        assert part in copied.html, part
    assert ("variant.2" in copied.html, "variant.3" in more.html) == (True, True)
    assert 'value="second"' in more.html
    assert "shorter is removed." in removed.text
    assert [] == await admin(ada).all()


BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({"name": "Not so"}, "An experiment's name"),
    ({"name": ""}, "An experiment's name"),
    ({"flag": "nothing"}, "no flag"),
    ({"variant.1": ""}, "A variant has a value and no name."),
    (
        {
            "variant.1": "",
            "value.1": "",
        },
        "2 to 10 variants",
    ),
    ({"weight.1": "x"}, "a weight is a number"),
    ({"weight.1": "nan"}, "weight is above 0"),
    ({"share": "x"}, "The share of people is a number of percent"),
    ({"share": "0"}, "share of people who take part is above 0"),
    ({"detect": "900"}, "smallest difference worth knowing"),
    ({"channels": "slck"}, "Did you mean slack?"),
    ({"starts": "soon"}, "A moment looks like"),
    (
        {
            "flag": "replies",
            "value.1": "perhaps",
        },
        "replies takes",
    ),
)


async def test_what_cannot_be_drafted_is_a_sentence_and_keeps_what_was_typed(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    for fields, sentence in BAD:
        page = await draft(
            ada,
            **{
                "salt": "kept",
                **fields,
            },
        )

        assert (422, True) == (page.status, sentence in page.text), page.text
        assert 'value="kept"' in page.html
    assert [] == await admin(ada).all()


async def test_a_stale_form_is_a_sentence_and_does_nothing(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await register(
        ada.services,
        "bob",
        "operator",
    )
    page = await draft(ada)
    await admin(ada).start(NAME, BOB)
    stale = await step(
        ada,
        page,
        "remove",
    )
    unversioned = await ada.post(
        PATH,
        {
            "csrf": page.csrf,
            "do": "remove",
        },
    )
    twice = await draft(ada)

    assert (409, True) == (stale.status, "was changed meanwhile" in stale.text)
    assert 409 == unversioned.status
    assert (422, True) == (twice.status, "already" in twice.text)
    assert Stage.RUNNING == (await stored(ada))[0]


async def test_a_viewer_sees_and_changes_nothing(
    ada: Browser,
) -> None:
    page = await ada.sign_in("ada", "viewer")
    await ExperimentData(ada.services.stores.database.url).experiment()
    shown = await ada.get(PATH)
    refused = [
        await ada.post(
            path,
            {
                "csrf": page.csrf,
                "do": do,
                "name": "second",
            },
        )
        for path, do in (("/experiments", "create"), (PATH, "stop"), (PATH, "ship"))
    ]

    assert "running since 20" in shown.text
    assert ["/sign-out"] == [
        one.action for one in shown.forms if "csrf" in one.fields
    ]
    assert [403] * 3 == [each.status for each in refused]
    assert Stage.RUNNING == (await stored(ada))[0]


async def test_the_report_has_its_interval_as_a_picture_and_in_a_table(
    ada: Browser,
) -> None:
    """Many more answers with one variant: it is better, and shipped without its name."""
    data = ExperimentData(ada.services.stores.database.url)
    await data.experiment()
    await people(
        data,
        "control",
        150,
        10,
    )
    await people(
        data,
        "short",
        150,
        140,
    )
    await data.store()
    await ada.sign_in("ada")
    report = await ada.get(f"{PATH}/report")
    wrong = await ada.get(f"{PATH}/report?metric=nothing")
    page = await ada.get(PATH)
    shipped = await step(
        ada,
        page,
        "ship",
    )
    flag = await ada.services.flags.get("system_prompt")

    assert "300 people" in report.text
    assert "short better. It is the one to ship." in report.text
    assert "Do not trust" not in report.text
    assert 'hx-trigger="every 30s"' in report.html
    assert f'hx-get="{PATH}/report?within=yes"' in page.html
    for part in ('<svg class="plot"', 'class="good"', "<circle", "<title>"):
        assert part in report.html, part
    assert "style=" not in report.html
    left_out = 'There is no metric "nothing"; it is left out. '
    assert left_out in wrong.text
    assert report.text == wrong.text.replace(left_out, "")
    assert "shorter is ended." in shipped.text
    assert {"global": "Be brief."} == dict(flag.rules)
    assert 'hx-trigger="every' not in (await ada.get(f"{PATH}/report")).html


async def test_too_few_people_is_not_yet(
    ada: Browser,
) -> None:
    data = ExperimentData(ada.services.stores.database.url)
    await data.experiment()
    await people(
        data,
        "control",
        20,
        5,
    )
    await people(
        data,
        "short",
        20,
        6,
    )
    await data.store()
    await ada.sign_in("ada")
    report = await ada.get(f"{PATH}/report")
    refused = await step(
        ada,
        await ada.get(PATH),
        "ship",
    )

    assert "short not yet: about" in report.text
    assert "more people per variant" in report.text
    assert (422, True) == (refused.status, "Choose the variant" in refused.text)
    assert Stage.RUNNING == (await stored(ada))[0]


async def test_a_wrong_split_stands_above_everything(
    ada: Browser,
) -> None:
    data = ExperimentData(ada.services.stores.database.url)
    await data.experiment()
    await people(
        data,
        "control",
        300,
        5,
    )
    await people(
        data,
        "short",
        150,
        140,
    )
    await data.store()
    await ada.sign_in("ada")
    report = (await ada.get(f"{PATH}/report")).html
    refused = await step(
        ada,
        await ada.get(PATH),
        "ship",
    )

    error = report.index("the split is not the configured one")
    assert error < report.index("<h1") < report.index("<svg") < report.index("<table")
    assert "no verdict: the split is wrong" in report
    assert (422, True) == (refused.status, "split is wrong" in refused.text)
    assert {} == dict((await ada.services.flags.get("system_prompt")).rules)


async def test_before_there_is_a_report_the_page_says_so(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await draft(ada)
    early = await ada.get(f"{PATH}/report")
    unknown = [await ada.get(path) for path in (f"{PATH}x", f"{PATH}x/report")]

    assert (200, True) == (early.status, "has not started yet" in early.text)
    assert [404, 404] == [each.status for each in unknown]
    assert "Did you mean shorter?" in unknown[0].text


async def test_what_operators_wrote_is_shown_harmlessly(
    ada: Browser,
) -> None:
    await ada.sign_in("ada")
    await draft(
        ada,
        **{
            "value.1": HARM,
            "salt": "<script>alert(1)</script>",
        },
    )
    await ada.services.flags.set(
        "system_prompt",
        RuleTarget(),
        HARM,
        ADA,
    )
    paths = ["/experiments", PATH, f"/experiments?copy={NAME}", f"{PATH}/report"]
    for path in (*paths, f"/experiments?q={HARM}", f"/experiments/{HARM}"):
        page = await ada.get(path)
        assert "<script>alert" not in page.html, path
    page = await ada.get(PATH)

    assert "&lt;script&gt;" in page.html
    assert "\u202e" not in page.html
