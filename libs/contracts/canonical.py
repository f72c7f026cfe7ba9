"""Canonical JSON and the content hash: equal content has equal bytes, whoever writes it down.

The form is RFC 8785 (JSON Canonicalization Scheme): names sorted by their UTF-16 code units, no white space, only
the escapes that JSON demands, numbers as ECMAScript writes them, so that `5`, `5.0` and `5e0` are one number and
`-0.0` is `0`. Numbers are finite and within ±(2^53 − 1), as everywhere in the contracts: what every reader of JSON
keeps exactly.

A content hash is the SHA-256, in hex, of the canonical JSON of `{"code": …, "content": …, "kind": …}` in UTF-8. It
leaves the version out: a version that brings an earlier content back has the earlier hash, and shares its snapshot.
A field that is added to a content later must be optional and absent by default, or old content would hash anew.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

LARGEST_NUMBER = 2**53 - 1
DEEPEST_NESTING = 64
"""Objects and lists inside each other; what is deeper is no data of ours, and databases refuse it too."""


class NotCanonical(ValueError):
    """The value cannot be written as canonical JSON; the text says why."""


def content_hash(kind: str, code: str, content: Mapping[str, Any]) -> str:
    """The hash that addresses a content, e.g. of `kind` recipe, product or device-type.

    Raises:
        NotCanonical: the content holds what canonical JSON cannot say.
    """
    text = canonical_json({"kind": kind, "code": code, "content": content})
    return hashlib.sha256(text.encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """The one text of a JSON value.

    Raises:
        NotCanonical: a number is out of range, the nesting too deep, or the value not JSON at all.
    """
    text = _text(value, 0)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotCanonical("half of a surrogate pair is no character") from None
    return text


def _text(value: Any, depth: int) -> str:
    if depth > DEEPEST_NESTING:
        raise NotCanonical(f"nested more than {DEEPEST_NESTING} levels deep")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return _number(value)
        case Mapping():
            names = sorted(value, key=_utf16)
            return "{" + ",".join(f"{_text(name, depth)}:{_text(value[name], depth + 1)}" for name in names) + "}"
        case list() | tuple():
            return "[" + ",".join(_text(item, depth + 1) for item in value) + "]"
        case _:
            raise NotCanonical(f"{type(value).__name__} is no type of JSON")


def _utf16(name: Any) -> bytes:
    if not isinstance(name, str):
        raise NotCanonical(f"the name {name!r} is no text")
    return name.encode("utf-16-be", "surrogatepass")


def _number(value: int | float) -> str:
    """ECMAScript's Number::toString, for the numbers that are allowed here."""
    if not math.isfinite(value) or abs(value) > LARGEST_NUMBER:
        raise NotCanonical("a number is not finite or beyond ±(2^53 − 1)")
    if value == int(value):
        return str(int(value))
    # Python finds the same shortest digits as ECMAScript but places the point by rules of its own.
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "finite, so the exponent is a number"
    text, point = "".join(map(str, digits)), len(digits) + exponent
    if point > 0:
        text = f"{text[:point]}.{text[point:]}"
    elif point > -6:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1}"
    return "-" + text if sign else text
