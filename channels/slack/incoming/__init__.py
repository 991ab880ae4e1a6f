"""What Slack sends, taken apart."""
