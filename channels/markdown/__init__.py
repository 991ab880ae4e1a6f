"""Markdown: what it says, where it may be cut, and what is changed in it."""
