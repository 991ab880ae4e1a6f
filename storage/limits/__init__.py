"""Rate limits, budgets and the pace of sends."""
