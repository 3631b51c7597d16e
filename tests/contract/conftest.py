"""Hypothesis on a machine that is shared: no deadline for an example, and nothing written beside the sources."""

from hypothesis import HealthCheck, settings

settings.register_profile("muki", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("muki")
