"""What models are asked to write: answers, and titles of conversations."""
