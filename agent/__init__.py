"""The conversation core: what happens to a message between a platform and the two stores."""
