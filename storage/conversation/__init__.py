"""Turns, answers and deliveries in Postgres; sessions and windows in Redis."""
