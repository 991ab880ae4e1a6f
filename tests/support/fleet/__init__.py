"""Agents in processes of their own, to be killed, frozen and started again by tests."""
