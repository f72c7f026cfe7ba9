"""Searching in texts, by the rules that memory and database share."""

import re


def prefix_pattern(prefix: str) -> str:
    """A regular expression, to be used without regard to case, of the texts that begin so."""
    return f"^{re.escape(prefix)}"


def begins_with(text: str, prefix: str) -> bool:
    return re.match(prefix_pattern(prefix), text, re.IGNORECASE) is not None
