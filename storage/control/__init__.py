"""Flags, experiments, channel settings, operators and the audit log."""
