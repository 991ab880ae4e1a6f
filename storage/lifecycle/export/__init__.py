"""What is kept of a person, for that person: as JSON for programs and as text to read."""
