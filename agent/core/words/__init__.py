"""Words that people type or read, and what they mean."""
