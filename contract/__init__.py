"""What crosses the wire between nodes, the gateway and third parties, and nothing else."""

CONTRACT_VERSION = 1
