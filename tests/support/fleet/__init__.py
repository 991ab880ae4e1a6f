"""Agents in processes of their own, which tests kill, freeze and restart."""
