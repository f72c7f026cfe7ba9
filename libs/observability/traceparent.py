"""W3C Trace Context: the `traceparent` header, https://www.w3.org/TR/trace-context/#traceparent-header.

Plain strings and one regular expression: this runs for every message, also when no trace is exported.
"""

import re
from random import getrandbits

_VERSION_00 = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_LATER_VERSION = re.compile(r"(?!ff|00)[0-9a-f]{2}-([0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(-.*)?").fullmatch


def valid(traceparent: str | None) -> str | None:
    """The header as we pass it on, or None when it is absent or malformed (which the standard says to ignore).

    A header of a later version is read as far as version 00 goes and passed on as version 00, as the standard asks.
    """
    if traceparent is None or _VERSION_00(traceparent):
        return traceparent
    later = _LATER_VERSION(traceparent)
    as_version_00 = f"00-{later[1]}" if later else traceparent.strip(" \t")
    return as_version_00 if _VERSION_00(as_version_00) else None


def fresh() -> str:
    """The header of a new trace.

    It says "sampled": that this process records nothing is no reason for a later one, which does, to leave it out.
    """
    # Zero is not allowed; `or 1` costs nothing, and it would take the age of the universe to see it.
    return f"00-{getrandbits(128) or 1:032x}-{getrandbits(64) or 1:016x}-01"


def trace_id_of(traceparent: str | None) -> str:
    """The trace id, 32 hexadecimal digits, for logs and look-ups; "" when there is no header or a malformed one."""
    known = valid(traceparent)
    return known[3:35] if known else ""


def span_id_of(traceparent: str | None) -> str:
    """The id of the sender's span, 16 hexadecimal digits; "" when there is none or the header is malformed."""
    known = valid(traceparent)
    return known[36:52] if known else ""
