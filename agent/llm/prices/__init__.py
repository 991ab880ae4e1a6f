"""What answers cost: prices that operators name or that are known, and bounds."""
