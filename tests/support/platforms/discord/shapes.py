"""The fields of Discord's objects, as its published interface description has them: those that
each one must have, and those that it may have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """One object. `inner` names the objects in its fields, alone or in a list."""

    required: str
    optional: str = ""
    inner: Mapping[str, str] = field(default_factory=dict)


_USER = "id username avatar discriminator public_flags flags global_name"
_USER_MORE = "bot system banner accent_color avatar_decoration_data collectibles"
_CONTENT = (
    "type content mentions mention_roles attachments embeds timestamp edited_timestamp "
    "flags components"
)
_CHANNEL_MORE = (
    "last_message_id last_pin_timestamp parent_id rate_limit_per_user bitrate user_limit "
    "rtc_region video_quality_mode permissions"
)
_GUILD_CHANNEL_MORE = (
    "topic default_auto_archive_duration default_thread_rate_limit_per_user "
    "permission_overwrites nsfw available_tags default_reaction_emoji default_sort_order "
    "default_forum_layout default_tag_setting"
)
_MEMBER = (
    "avatar banner communication_disabled_until flags joined_at nick pending premium_since "
    "roles mute deaf"
)

SHAPES = {
    "user": Shape(f"{_USER} primary_guild", _USER_MORE),
    "own user": Shape(
        f"{_USER} mfa_enabled locale",
        f"{_USER_MORE} primary_guild premium_type email verified",
    ),
    "message": Shape(
        f"{_CONTENT} id channel_id author pinned mention_everyone tts",
        "stickers sticker_items call activity application application_id interaction nonce "
        "webhook_id message_reference thread mention_channels role_subscription_data "
        "purchase_notification position resolved poll shared_client_theme "
        "interaction_metadata message_snapshots lobby_member reactions referenced_message",
        {
            "author": "user",
            "mentions": "user",
            "attachments": "attachment",
            "message_reference": "reference",
            "message_snapshots": "snapshot",
            "referenced_message": "message",
            "sticker_items": "sticker",
            "poll": "poll",
        },
    ),
    "content": Shape(
        _CONTENT,
        "stickers sticker_items",
        {"attachments": "attachment", "mentions": "user", "sticker_items": "sticker"},
    ),
    "snapshot": Shape("message", "", {"message": "content"}),
    "reference": Shape("type channel_id", "message_id guild_id"),
    "sticker": Shape("id name format_type"),
    "poll": Shape("question answers expiry allow_multiselect layout_type results"),
    "attachment": Shape(
        "id filename size url proxy_url",
        "width height duration_secs waveform description content_type ephemeral flags "
        "placeholder placeholder_version title application clip_created_at "
        "clip_participants",
    ),
    "application": Shape(
        "id name icon description type verify_key flags flags_new redirect_uris "
        "interactions_endpoint_url role_connections_verification_url owner "
        "approximate_guild_count approximate_user_install_count "
        "approximate_user_authorization_count explicit_content_filter team "
        "eligible_oauth2_scopes",
        "cover_image primary_sku_id bot slug guild_id rpc_origins bot_public "
        "bot_require_code_grant terms_of_service_url privacy_policy_url custom_install_url "
        "install_params integration_types_config max_participants tags event_webhooks_url "
        "event_webhooks_status event_webhooks_types",
        {"bot": "user", "owner": "user"},
    ),
    "gateway": Shape(
        "url session_start_limit shards", "", {"session_start_limit": "start limit"}
    ),
    "start limit": Shape("max_concurrency remaining reset_after total"),
    "direct channel": Shape(
        "id type flags recipients",
        "last_message_id last_pin_timestamp",
        {"recipients": "user"},
    ),
    "channel": Shape(
        "id type flags guild_id name position",
        f"{_CHANNEL_MORE} {_GUILD_CHANNEL_MORE}",
    ),
    "thread": Shape(
        "id type flags guild_id name owner_id thread_metadata message_count member_count "
        "total_message_sent",
        f"{_CHANNEL_MORE} applied_tags member",
        {"thread_metadata": "thread state", "member": "thread member"},
    ),
    "thread state": Shape(
        "archived archive_timestamp auto_archive_duration locked",
        "create_timestamp invitable",
    ),
    "thread member": Shape("id user_id join_timestamp flags", "member"),
    "guild": Shape(
        "id name icon description home_header splash discovery_splash features banner "
        "owner_id application_id region afk_channel_id afk_timeout system_channel_id "
        "system_channel_flags widget_enabled widget_channel_id verification_level roles "
        "default_message_notifications mfa_level explicit_content_filter max_presences "
        "max_members max_stage_video_channel_users max_video_channel_users vanity_url_code "
        "premium_tier premium_subscription_count preferred_locale rules_channel_id "
        "safety_alerts_channel_id public_updates_channel_id premium_progress_bar_enabled "
        "nsfw nsfw_level emojis stickers incidents_data",
        "premium_progress_bar_enabled_user_updated_at",
        {"roles": "role"},
    ),
    "role": Shape(
        "id name permissions position color colors hoist managed mentionable icon "
        "unicode_emoji flags",
        "tags",
        {"colors": "colors"},
    ),
    "colors": Shape("primary_color secondary_color tertiary_color"),
    "member": Shape(
        f"{_MEMBER} user", "avatar_decoration_data collectibles", {"user": "user"}
    ),
    "membership": Shape(_MEMBER, "avatar_decoration_data collectibles"),
    "my guild": Shape(
        "id name icon banner owner permissions features",
        "approximate_member_count approximate_presence_count",
    ),
    "command": Shape(
        "id application_id version default_member_permissions type name description",
        "name_localized name_localizations description_localized "
        "description_localizations guild_id dm_permission contexts integration_types "
        "options nsfw handler",
    ),
    "error": Shape("code message", "errors"),
    "rate limit": Shape("code message retry_after global"),
}


def departures(
    name: str,
    value: Any,
    where: str = "",
) -> Iterator[str]:
    """What a value has too little or too much of, against the shape of this name."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from departures(name, each, f"{where}[{number}]")

        return

    if not isinstance(value, dict):
        yield f"{where} is no {name}"
        return

    shape = SHAPES[name]
    required, optional = set(shape.required.split()), set(shape.optional.split())
    yield from (f"{where}.{key} is missing" for key in required - set(value))
    yield from (
        f"{where}.{key} is unknown" for key in set(value) - required - optional
    )

    for key, inner in shape.inner.items():
        if value.get(key) is not None:
            yield from departures(inner, value[key], f"{where}.{key}")


def error_departures(body: Mapping[str, Any]) -> Iterator[str]:
    """The same for the answer to a call that is refused.

    A form that is wrong (50035) says what is wrong with each field, as a list `_errors` in
    it: https://docs.discord.com/developers/reference, "Error Messages".
    """
    yield from departures("error", body)
    if body["code"] == 50035 and not body.get("errors"):
        yield ".errors is missing"

    yield from _form_departures(body.get("errors", {}), ".errors")


def _form_departures(field: Any, where: str) -> Iterator[str]:
    if not isinstance(field, dict):
        yield f"{where} is no object"
    elif "_errors" in field:
        yield from departures("error", field["_errors"], f"{where}._errors")
    else:
        for key, inner in field.items():
            yield from _form_departures(inner, f"{where}.{key}")
