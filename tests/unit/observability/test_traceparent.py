"""Which headers the W3C standard lets us follow, and which must be ignored."""

import re

import pytest

from libs.observability.traceparent import fresh, span_id_of, trace_id_of, valid

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "passed_on"),
    [
        (GOOD, GOOD),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f" {GOOD}\t", GOOD),
        (f"cc-{TRACE}-{SPAN}-01", GOOD),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", GOOD),
        (None, None),
        ("", None),
        ("garbage", None),
        (GOOD + "\n", None),
        (GOOD + "-more", None),
        (GOOD.upper(), None),
        (GOOD[:-1], None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"cc-{'0' * 32}-{SPAN}-01", None),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        ("00-" + "é" * 32 + f"-{SPAN}-01", None),
    ],
)
def test_what_is_passed_on(header: str | None, passed_on: str | None) -> None:
    assert valid(header) == passed_on


def test_ids_for_logs_and_look_ups() -> None:
    assert (trace_id_of(GOOD), span_id_of(GOOD)) == (TRACE, SPAN)
    assert (trace_id_of("garbage"), span_id_of(None)) == ("", "")


def test_fresh_ones_are_valid_sampled_and_differ() -> None:
    made = {fresh() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(valid(each) == each for each in made)
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", each) for each in made)
