"""Scenarios that make no sense on a channel, and why. Everything else runs everywhere."""

from __future__ import annotations

from collections.abc import Mapping

_ALONE = {"terminal": "a terminal has one person, in one chat"}
_BY_LINE = {"terminal": "a terminal reads the next line when the last is answered"}
_ONE_DELIVERY = {"terminal": "a terminal delivers a line once"}
_NO_THUMBS = {"terminal": "a terminal has no reactions"}
_NO_EDITS = {"terminal": "a line that was sent cannot be edited"}

_NO_BUTTONS = {"terminal": "a terminal has no buttons; its commands are typed"}

_NO_FILES = {"terminal": "a terminal shows an export as text"}

_WAITS = {"terminal": "a terminal waits for an answer to each line"}

OMITTED_FLAGS: Mapping[str, Mapping[str, str]] = {
    "overlap": _BY_LINE,
    "buttons": _NO_BUTTONS,
    "enable_slash_commands": {
        "terminal": "a terminal has no menu; its commands are typed"
    },
}
"""Flags that mean nothing on a channel, and why."""

OMITTED_SETTINGS: Mapping[str, Mapping[str, str]] = {
    "overlap": _BY_LINE,
    "deny": _WAITS,
}
"""Settings that mean nothing on a channel, and why."""

OMITTED: Mapping[str, Mapping[str, str]] = {
    # restarts
    "test_a_restart_before_the_place_of_a_draft_was_recorded_leaves_one_answer": {
        "terminal": "what a terminal shows goes with its process",
    },
    # answers
    "test_people_have_conversations_of_their_own": _ALONE,
    "test_an_answer_that_the_platform_cannot_format_arrives_plain": {
        "discord": "Discord formats in the person's app and refuses no formatting",
        "terminal": "a terminal shows plain text here",
    },
    "test_a_model_cannot_alert_everyone": {
        **_ALONE,
        "telegram": "Telegram has no mention of everyone",
    },
    "test_a_platform_without_its_own_streaming_still_shows_growing_answers": {
        **_ALONE,
        "discord": "Discord has no streaming of its own",
        "telegram": "groups have no drafts",
    },
    "test_a_stream_that_dies_in_the_middle_is_finished_by_edits": {
        **_ALONE,
        "discord": "Discord has no streaming of its own",
        "telegram": "groups have no drafts",
    },
    "test_drafts_that_are_refused_cost_only_the_preview": {
        "discord": "Discord has no drafts",
        "slack": "Slack streams in threads only",
        "terminal": "a terminal has no drafts",
    },
    # bursts
    "test_merge_answers_together_what_came_meanwhile": _BY_LINE,
    "test_queue_answers_one_by_one": _BY_LINE,
    "test_interrupt_cuts_the_answer_and_sees_both": _BY_LINE,
    "test_a_burst_before_any_answer_keeps_its_order": _BY_LINE,
    "test_many_people_at_once_each_get_their_own_answer": _ALONE,
    # flags
    "test_without_a_maintenance_message_nothing_is_said": _WAITS,
    "test_a_rule_is_for_those_whom_it_names": _ALONE,
    "test_in_a_group_the_author_decides": _ALONE,
    # deliveries
    "test_the_same_delivery_four_times_at_once_is_one_answer": _ONE_DELIVERY,
    "test_a_delivery_that_is_repeated_after_the_answer_is_known": _ONE_DELIVERY,
    "test_a_delivery_that_is_repeated_after_a_restart_is_known": _ONE_DELIVERY,
    "test_two_instances_that_hear_the_same_answer_once": _ONE_DELIVERY,
    "test_an_edit_before_the_answer_is_used": _NO_EDITS,
    "test_an_edit_that_another_instance_hears_is_used": _NO_EDITS,
    "test_an_edit_after_the_answer_changes_nothing": _NO_EDITS,
    "test_a_message_that_is_deleted_while_it_waits_is_not_answered": {
        **_NO_EDITS,
        "telegram": "the Bot API tells nobody of deletions",
    },
    "test_what_is_attached_is_named": {"terminal": "a terminal sends no files"},
    # groups
    "test_in_a_group_talk_among_people_is_not_answered": _ALONE,
    "test_a_reply_to_the_agent_is_meant_for_it": _ALONE,
    "test_a_mention_is_not_part_of_the_question": _ALONE,
    "test_a_bare_mention_asks_what_is_meant": _ALONE,
    "test_a_mention_that_an_edit_adds_counts": _ALONE,
    "test_two_people_in_one_thread_share_a_conversation": _ALONE,
    "test_threads_are_conversations_of_their_own": _ALONE,
    "test_answers_that_grow_at_the_same_time_stay_in_their_threads": _ALONE,
    "test_a_group_and_a_direct_chat_are_conversations_of_their_own": _ALONE,
    "test_other_bots_and_the_agent_itself_are_ignored": _ALONE,
    "test_a_command_in_a_thread_is_obeyed": _ALONE,
    # limits
    "test_a_limited_chat_delays_no_other": _ALONE,
    "test_a_limit_while_an_answer_grows_does_not_leave_it_partial": {
        "terminal": "a terminal has no rate limit"
    },
    "test_a_hanging_model_delays_nobody_else": _ALONE,
    # commands
    "test_a_command_is_answered_while_the_model_hangs": _BY_LINE,
    "test_stop_cuts_the_answer_and_keeps_what_was_written": {
        "terminal": "Ctrl-C stops there, not a line"
    },
    "test_stop_cuts_an_answer_that_grows_in_a_thread": _ALONE,
    # restarts
    "test_an_answer_whose_arrival_was_not_confirmed_is_not_silently_doubled": {
        "terminal": "a terminal confirms nothing, it is written to",
    },
    "test_ten_minutes_of_backlog_are_answered_in_order_and_once": {
        "terminal": "nobody can type while no terminal runs",
    },
    "test_a_restart_while_an_answer_grows_leaves_one_answer": {
        "terminal": "what was printed in an earlier run stands above and cannot be edited",
    },
    "test_a_draft_of_an_instance_without_its_lease_does_not_touch_the_finished_answer": _ALONE,
    # linking
    "test_a_token_that_is_refused_is_named_in_a_sentence": {
        "terminal": "a terminal has no token"
    },
    # webhooks
    "test_no_forged_webhook_is_accepted": {"terminal": "a terminal has no webhook"},
    "test_signed_nonsense_is_passed_over": {"terminal": "a terminal has no webhook"},
    "test_a_stale_webhook_is_not_accepted": {
        "terminal": "a terminal has no webhook",
        "telegram": "Telegram's deliveries carry no time; its secret is what proves them",
    },
    "test_a_replayed_webhook_is_one_message": {
        "terminal": "a terminal has no webhook"
    },
    # votes
    "test_a_thumb_is_given_changed_and_taken_away": _NO_THUMBS,
    "test_a_thumb_that_is_delivered_four_times_is_one_vote": _NO_THUMBS,
    "test_each_message_of_a_long_answer_is_that_answer": _NO_THUMBS,
    "test_a_thumb_on_what_a_person_said_is_no_vote": _NO_THUMBS,
    "test_somebody_who_never_wrote_can_vote_in_a_thread": _NO_THUMBS,
    "test_a_thumb_on_an_answer_that_another_instance_wrote_is_counted": _NO_THUMBS,
    # buttons
    "test_a_button_works_after_a_restart": _NO_BUTTONS,
    "test_a_press_of_retry_answers_again": _NO_BUTTONS,
    "test_a_press_of_stop_cuts_the_answer_and_takes_its_button_away": _NO_BUTTONS,
    "test_a_pressed_thumb_is_a_vote": _NO_BUTTONS,
    "test_an_old_button_says_so_in_a_sentence": _NO_BUTTONS,
    "test_a_button_of_an_erased_answer_says_so": _NO_BUTTONS,
    "test_a_model_is_chosen_by_a_press": _NO_BUTTONS,
    "test_someone_who_may_not_talk_here_presses_for_nothing": _NO_BUTTONS,
    "test_a_press_in_a_thread_acts_there": _NO_BUTTONS,
    "test_without_the_flag_there_are_no_buttons": _NO_BUTTONS,
    # own data
    "test_an_export_is_handed_over_as_a_file_and_kept_nowhere": _NO_FILES,
    "test_a_file_that_is_too_large_for_a_chat_is_had_from_the_operator": _NO_FILES,
    "test_a_file_that_the_platform_refuses_is_had_from_the_operator": _NO_FILES,
    "test_in_a_group_no_file_is_handed_over": _ALONE,
    "test_a_platform_in_trouble_gets_the_file_later_and_once": _NO_FILES,
    # instructions
    "test_an_instruction_in_a_group_is_not_taken": _ALONE,
}
