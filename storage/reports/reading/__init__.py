"""From which database reports are read, how many at once, and for how long."""
