"""What a site's rules are written in: alarms, expressions, shifts; what can be said against them, and the engine that turns readings into events.

Nodes and the gateway judge by the same rules, so neither owns them. Pure: no clock, no I/O.
"""
