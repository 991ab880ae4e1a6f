"""A/B tests: what operators do with them, their rows, and their planned starts and ends."""
