"""`/conversations/<id>/<seq>`: one message whole, and why an answer is as it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct
from starlette.responses import Response

from agent.control.flags import DECLARED
from agent.control.named_rules import NAMED, PREFIX
from agent.control.rules import Step
from agent.core.errors import Rejected
from agent.web.console.errors import Stopped, described, not_found
from agent.web.console.page import PageContext
from agent.web.console.pages.conversations.reading import conversation_of, reader_of
from agent.web.console.services import Services
from storage.control.changes import shown_rule
from storage.control.targets import RuleTarget
from storage.conversation.operating.why import Why, read_why

DEFAULT = "default"


class InForce(Struct, frozen=True):
    """A flag at the moment of the answer, where a rule decided."""

    flag: str
    value: str
    rule: str


async def show(context: PageContext) -> Response:
    database = context.services.stores.database
    with not_found():
        why = await read_why(
            database, conversation_of(context), _seq(context), reader_of(context)
        )

    is_answer = why.message.role == "assistant"
    flags, problem = await _flags(context.services, why) if is_answer else ((), "")

    return context.render(
        "conversations/why.html",
        why=why,
        head=why.head,
        message=why.message,
        kept=why.message.metadata,
        is_answer=is_answer,
        flags=flags,
        problem=problem,
        others=len(DECLARED) - len(flags),
        path=f"/conversations/{why.head.id}",
        may_read=reader_of(context).texts,
    )


def _seq(context: PageContext) -> int:
    typed = context.address["seq"]
    if not typed.isdecimal() or len(typed) > 18:
        raise Stopped(404, "There is no such message.")

    return int(typed)


async def _flags(
    services: Services,
    why: Why,
) -> tuple[Sequence[InForce], str]:
    """What rules decided for this chat and person when the model was asked, by the history;
    or why that can no longer be said.
    """
    head = why.head
    person = next((str(one.person) for one in why.turns if one.person), None)
    target = RuleTarget(person, head.channel, head.chat or None)
    at = min(why.planned_at, datetime.now(UTC))
    found = []

    try:
        for name in DECLARED:
            decided = (await services.flags.explain(name, target, at)).decided
            if decided.rule != DEFAULT:
                found.append(InForce(name, _value(decided), _rule(decided)))
    except Rejected as error:
        return (), described(error)

    return found, ""


def _value(step: Step) -> str:
    if step.value is None:
        return "what the channel or the environment says"

    return shown_rule({"": step.value}, "")


def _rule(step: Step) -> str:
    return step.scope.removeprefix(PREFIX) if step.rule == NAMED else step.rule
