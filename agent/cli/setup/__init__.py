"""`agent setup`: connects a platform, until the first message was answered."""
