"""What the chaos suite stands on: links, processes, people, faults, and the checker."""
