"""The ways people talk to the agent. Each module turns its SDK's events into Inbound and
shows a Reply.
"""
