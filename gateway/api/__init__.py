"""The gateway's HTTP side: the API under /api/v1, the live stream, and the operators' page."""
