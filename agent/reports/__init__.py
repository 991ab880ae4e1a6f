"""What figures say: statistics and reports."""
