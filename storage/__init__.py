"""The two stores: Postgres holds what must last, Redis makes it fast and may lose everything."""
