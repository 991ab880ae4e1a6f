"""Values and rules without I/O. Imports nothing else of the project."""
