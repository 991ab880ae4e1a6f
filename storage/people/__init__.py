"""Accounts of people, and how they are linked."""
