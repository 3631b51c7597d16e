"""Alarms at the gateway: what the nodes said, what people did about it, and where each alarm stands."""
