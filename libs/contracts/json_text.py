"""JSON as senders write it: what makes readers of JSON give up, and no fact depends on, is mended.

Four habits are known from the field: a byte order mark before the text (.NET), bytes of another encoding in a text,
half of a surrogate pair where a text was cut in the middle of a character (Java, JavaScript), and nesting so deep
that parsers refuse the whole text for a field that nobody here reads.
"""

import re

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

DEEPEST_NESTING = 128
"""Levels of objects and lists that are kept. Parsers differ in what they take (pydantic's 200); fields of the contracts
with content of their own allow less, and say so."""

_STRINGS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # both halves: one character
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
_REPLACEMENT = rb"\ufffd"


def mended(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The text without what keeps readers of JSON from it, and a sentence for every change of what it says.

    The text need not be JSON, and is not made JSON: what is wrong beyond these habits stays as it is.
    """
    changes: list[str] = []
    text = text.removeprefix(BYTE_ORDER_MARK)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        changes.append(f"the text is not UTF-8 (byte {error.start}); what could not be read is replaced with U+FFFD")
        text = text.decode("utf-8", "replace").encode()
    whole = _ESCAPES.sub(lambda found: _REPLACEMENT if found["half"] else found[0], text)
    if whole != text:
        changes.append("half of a surrogate pair is no character and is replaced with U+FFFD")
    return _no_deeper_than(DEEPEST_NESTING, whole), tuple(changes)


def _no_deeper_than(deepest: int, text: bytes) -> bytes:
    """The text with null in the place of every object and list that lies deeper."""
    kept: list[bytes] = []
    depth, end, cut = 0, 0, 0
    for found in _STRINGS_AND_BRACKETS.finditer(text):
        sign = found[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth == deepest + 1:
                cut = found.start()
        elif sign in (b"}", b"]"):
            if depth == deepest + 1:
                kept += [text[end:cut], b"null"]
                end = found.end()
            depth -= 1
    return b"".join([*kept, text[end:]])
