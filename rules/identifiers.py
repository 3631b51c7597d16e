"""Unique identifiers that sort by time: the ULID form, 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32."""

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26
_RANDOM_BITS = 80


def ulid(time_ns: int, random_bits: int | None = None) -> str:
    """26 characters for the instant ``time_ns`` (Unix ns). ``random_bits`` (80 bits) replaces the system's randomness."""
    bits = secrets.randbits(_RANDOM_BITS) if random_bits is None else random_bits & ((1 << _RANDOM_BITS) - 1)
    number = ((time_ns // 1_000_000) & ((1 << 48) - 1)) << _RANDOM_BITS | bits
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))
