"""What a source, processor or output may raise, and what the runner does about it."""


class EdgeError(Exception):
    """The root of what the runner understands."""


class Retry(EdgeError):
    """The device does not answer now: restart with backoff, report a malfunction meanwhile."""


class Misconfigured(EdgeError):
    """The configuration cannot work: say what is wrong, where, and what would be right; do not start."""


class Fatal(EdgeError):
    """Going on would do harm (the outbox cannot be written): stop the node."""
