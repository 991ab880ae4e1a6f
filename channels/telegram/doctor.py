"""Why the agent is silent on Telegram: one sentence a cause, with its remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from telegram import ChatMemberRestricted, User
from telegram.constants import ChatMemberStatus

from agent.core.channel import Finding
from agent.core.errors import DeliveryError, Undeliverable
from agent.ports import LastAccepted
from channels.pacing import RateLimited
from channels.telegram.api import BotApi
from channels.telegram.errors import BOTFATHER, TokenError

PRIVACY = "Privacy mode is on: in groups the bot sees only commands, mentions and replies to it."
PRIVACY_REMEDY = (
    f"Send /setprivacy to {BOTFATHER}, choose Disable and add the bot to the "
    "group again, or make it an "
    "administrator there (/setjoingroups if it is meant for private chats only)."
)
REACTIONS_REMEDY = (
    "To count them: Manage group, Administrators, add the bot; any right will do."
)
_PART = "telegram"


async def diagnose(
    api: BotApi, url: str, last_accepted: LastAccepted | None
) -> list[Finding]:
    """Everything that is wrong. `url` is where Telegram should deliver; "": the agent polls."""
    try:
        async with api.open():
            me = await api.me()
            found = [finding async for finding in _webhook(api, url)]
            return found + [
                finding async for finding in _groups(api, me, last_accepted)
            ]
    except TokenError as error:
        return [Finding(_PART, error.sentence, f"{BOTFATHER} (/mybots, API Token)")]
    except DeliveryError as error:
        return [
            Finding(_PART, error.sentence, "Check the network and TELEGRAM_API_URL.")
        ]
    except RateLimited as limit:
        problem = (
            f"Telegram accepts no calls for {limit.retry_after:.0f} s: there "
            "were too many."
        )
        return [Finding(_PART, problem, "Wait and run `agent doctor` again.")]


async def _webhook(api: BotApi, url: str) -> AsyncIterator[Finding]:
    info = await api.webhook()
    if info.url != url:
        place = f"to {urlsplit(info.url).hostname}" if info.url else "nowhere"
        wanted = (
            "PUBLIC_URL"
            if url
            else "this agent, which polls because PUBLIC_URL is not set"
        )
        problem = f"Telegram delivers {place}, not to {wanted}."
        yield Finding(
            _PART,
            problem,
            "Run `agent serve`, which sets this, and no other program with this bot.",
        )
    elif info.last_error_message and info.pending_update_count:
        problem = f"Telegram cannot deliver to PUBLIC_URL: {info.last_error_message.rstrip('.')}."
        remedy = (
            "Make PUBLIC_URL an https address with port 443, 80, 88 or 8443 "
            "that the internet can reach."
        )
        yield Finding(_PART, problem, remedy)


async def _groups(
    api: BotApi, me: User, last_accepted: LastAccepted | None
) -> AsyncIterator[Finding]:
    """In privacy mode, bots that are no administrators see few messages of a group
    (https://core.telegram.org/bots/features#privacy-mode).
    """
    chats = await last_accepted(_PART) if last_accepted else {}
    statuses = {
        chat: await _status(api, chat, me) for chat in chats if chat.startswith("-")
    }

    for chat, status in statuses.items():
        if status in (ChatMemberStatus.LEFT, ChatMemberStatus.BANNED):
            problem = f"The bot is no longer a member of the group {chat}."
            yield Finding(_PART, problem, f"Add @{me.username} to it again.")
        elif status == ChatMemberStatus.RESTRICTED:
            problem = f"The bot may not write in the group {await api.title(chat)}."
            remedy = "Allow it there: Manage group, Permissions, Exceptions."
            yield Finding(_PART, problem, remedy)

    members = [
        chat for chat, status in statuses.items() if status == ChatMemberStatus.MEMBER
    ]
    if members:  # https://core.telegram.org/bots/api#update, message_reaction
        where = (
            f"the group {await api.title(members[0])}"
            if len(members) == 1
            else f"{len(members)} groups"
        )
        problem = (
            f"In {where} the bot is no administrator, so it does not learn of "
            "thumbs on its answers."
        )
        yield Finding(_PART, problem, REACTIONS_REMEDY)

    sees_all = me.can_read_all_group_messages or not me.can_join_groups
    if not sees_all and (
        not statuses or ChatMemberStatus.MEMBER in statuses.values()
    ):
        yield Finding(_PART, PRIVACY, PRIVACY_REMEDY)


async def _status(api: BotApi, chat: str, me: User) -> str:
    """The bot's status in a group; one who may write counts as a member."""
    try:
        member = await api.member(chat, me.id)
    except Undeliverable:  # only members are told
        return ChatMemberStatus.LEFT

    if (
        isinstance(member, ChatMemberRestricted)
        and member.is_member
        and member.can_send_messages
    ):
        return ChatMemberStatus.MEMBER

    return member.status
