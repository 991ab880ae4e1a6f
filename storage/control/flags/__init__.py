"""What an operator does with flags."""

from storage.control.flags.admin import FlagAdmin
from storage.control.flags.views import Changed, Explanation, FlagView

__all__ = ["Changed", "Explanation", "FlagAdmin", "FlagView"]
