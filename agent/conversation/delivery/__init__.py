"""An answer's way to the platform: shown as it grows, sent once stored, closed once it arrived."""
