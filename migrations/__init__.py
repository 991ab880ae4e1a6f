"""Alembic migrations, run by `agent db upgrade`."""
