"""`/api/v1`: everything the console does, for programs, by the same functions."""
