"""Cursors: where a page ended, opaque to clients, so that the next one begins after it whatever came in between."""

import base64
import binascii

import orjson

LONGEST_CURSOR = 512


class BadCursor(ValueError):
    """Not a cursor that this list gave out."""


def write_cursor(*position: str) -> str:
    """The sort values of a page's last item as URL-safe text."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def read_cursor(cursor: str, length: int) -> list[str]:
    """The `length` sort values.

    Raises:
        BadCursor: it was not made by `write_cursor` for a list that sorts by as many values.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = orjson.loads(raw)
    except (binascii.Error, ValueError) as error:
        raise BadCursor("not a cursor of this list") from error
    if not isinstance(position, list) or len(position) != length or not all(isinstance(each, str) for each in position):
        raise BadCursor("not a cursor of this list")
    return position
