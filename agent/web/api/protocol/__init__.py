"""What all endpoints share: the gate, problems, permissions, pages, versions."""
