"""The field types of which JSON knows only texts: moments, days, and prose."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from libs.kernel.clock import rfc3339

LONGEST_TEXT = 1000
"""Characters of a text for people; what is longer is cut, never refused."""

_DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_RFC_3339 = re.compile(
    rf"({_DAY}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)((?:\.[0-9]+)?)"
    r"(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.IGNORECASE,
)


def moment(value: Any) -> datetime:
    """A moment in UTC from an aware `datetime` or from the text of RFC 3339, section 5.6; nothing is guessed.

    A leap second, `:60`, is the first moment of the next minute.

    Raises:
        PydanticCustomError: the value is anything else; the code is INVALID_VALUE.
    """
    if isinstance(value, str):
        found = _RFC_3339.fullmatch(value)
        if found is None:
            raise _no_time()
        minute, second, fraction, offset = found.groups()
        leap = second == "60"
        try:
            value = datetime.fromisoformat(f"{minute}:{'59' if leap else second}{fraction}{offset}".upper())
            value += timedelta(seconds=leap)
        except (ValueError, OverflowError):
            raise _no_time() from None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _no_time()
    if value.tzinfo is UTC:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError:
        text = "in UTC this is not within the years 1 to 9999"
        raise PydanticCustomError("INVALID_VALUE", "{text}", {"text": text}) from None


def _no_time() -> PydanticCustomError:
    text = "a time should be a text as in RFC 3339 with an offset, e.g. 2027-06-30T14:00:00+02:00"
    return PydanticCustomError("INVALID_VALUE", "{text}", {"text": text})


def day(value: Any) -> date:
    """A calendar day from a `date` or from the text of RFC 3339's full-date.

    Raises:
        PydanticCustomError: the value is anything else; the code is INVALID_VALUE.
    """
    if isinstance(value, str) and re.fullmatch(_DAY, value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise PydanticCustomError("INVALID_VALUE", "a date should be a text as in RFC 3339, e.g. 2027-06-30")


def prose(value: Any) -> str:
    """A text for people: one that is too long is cut and ends in `…`, and what is no text is kept as its JSON.

    Null is as good as an empty text.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            value = str(value)
    return value if len(value) <= LONGEST_TEXT else f"{value[: LONGEST_TEXT - 1]}…"


Time = Annotated[
    datetime,
    BeforeValidator(moment),
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment: RFC 3339 with an offset on the wire, UTC in memory."""

Day = Annotated[date, BeforeValidator(day)]
"""A calendar day: RFC 3339's full-date on the wire."""

Text = Annotated[str, BeforeValidator(prose)]
"""Prose for people: a reason, a name. It is cut where it is too long, and never a reason to refuse a message."""
