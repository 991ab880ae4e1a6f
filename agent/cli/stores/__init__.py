"""Commands about the stores themselves: backups, keys, how they are."""
