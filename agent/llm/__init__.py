"""The models that answer: OpenAI-compatible servers, Anthropic, and an offline one.

`agent.llm.router` is the way in. A provider is one module with a function `open_model` and
one line in the table of `agent.llm.router`; it is imported when one of its models is first
asked.
"""
