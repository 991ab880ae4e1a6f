"""Postgres and Valkey from wheels, started for one machine."""
