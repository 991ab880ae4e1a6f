"""From the events that a model server sends to the answer that people read."""
