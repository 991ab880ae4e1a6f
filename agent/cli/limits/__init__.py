"""Commands for limits and budgets."""
