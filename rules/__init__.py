"""The language of alarm rules: what a configuration writes, what can be said against it, and the engine that turns readings into events.

Nodes and the gateway judge by the same rules, so neither owns them. Pure: no clock, no I/O.
"""
