"""Identifiers: random ones for messages, derived ones for what must be found again by its content."""

import hashlib
import os
import time


def new_id() -> str:
    """A unique id as 32 hex digits, ordered by time to the millisecond (the layout of UUIDv7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62
    return f"{value | random & (1 << 62) - 1:032x}"


def project_id_of(site: str, order_id: str) -> str:
    """The id of the project for an order: one site and order key, one project, on every machine.

    The readable order id stands first; the digest keeps equal order ids of two sites apart.
    """
    digest = hashlib.sha256(f"{site}\x00{order_id}".encode()).hexdigest()
    return f"{order_id}-{digest[:12]}"
