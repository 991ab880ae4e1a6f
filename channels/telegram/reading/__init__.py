"""What Telegram sends, taken apart."""
