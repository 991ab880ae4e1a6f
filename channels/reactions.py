"""Thumbs among reactions, in the spellings of the platforms."""

from __future__ import annotations

from agent.core.messages import Thumb

_EMOJI = {"\N{THUMBS UP SIGN}": Thumb.UP, "\N{THUMBS DOWN SIGN}": Thumb.DOWN}
_NAMES = {
    "+1": Thumb.UP,
    "thumbsup": Thumb.UP,
    "-1": Thumb.DOWN,
    "thumbsdown": Thumb.DOWN,
}
_VARIANTS = (
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-1-2}\N{EMOJI MODIFIER FITZPATRICK TYPE-3}"
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-4}\N{EMOJI MODIFIER FITZPATRICK TYPE-5}"
    "\N{EMOJI MODIFIER FITZPATRICK TYPE-6}\N{VARIATION SELECTOR-16}"
)


def thumb_of_emoji(emoji: str) -> Thumb | None:
    """The thumb that this emoji shows, with any skin tone; None: it shows something else."""
    return _EMOJI.get(emoji.rstrip(_VARIANTS))


def thumb_of_name(name: str) -> Thumb | None:
    """The same for an emoji as a name, with its skin tone behind it: `+1::skin-tone-3`."""
    return _NAMES.get(name.partition("::")[0])
