"""What Discord sends, taken apart field by field."""
