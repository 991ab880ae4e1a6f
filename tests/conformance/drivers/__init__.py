"""One driver for each channel: what its people do and what they see."""
