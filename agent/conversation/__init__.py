"""accept → answer → deliver: the use case of the agent."""
