"""Cursors of the stream: wherever a client stops, what it is told from there is what it was not told yet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.changes import Cursor, Kind, Moment, Thing, cursors
from services.gateway.domain.paging import BadCursor

NAMES = [f"{number:02}" for number in range(60)]
THINGS = st.builds(Thing, st.sampled_from([Kind.PROJECT, Kind.DEVICE]), st.just("main"), st.sampled_from(NAMES))
"""More than a cursor names one by one."""
MOMENTS = st.builds(Moment, st.integers(1, 3), st.integers(0, 9))
OWED = st.lists(THINGS, max_size=3, unique=True).map(lambda found: tuple(sorted(found)))
CURSORS = st.builds(Cursor, MOMENTS, OWED, partly=st.none(), last=st.none())


@given(CURSORS, MOMENTS, THINGS)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor, partly: Moment, last: Thing) -> None:
    assert Cursor.parse(cursor.write()) == cursor
    within = cursor._replace(partly=partly, last=last)
    assert Cursor.parse(within.write()) == within


@pytest.mark.parametrize(
    "text", ["", "x", "W10", "WzFd", "W1sxLDJdLFtdXQ=x", "bnVsbA", "W1stMSwyXSxbXV0", "W1sxLDJdLFsiYSJdXQ"]
)
def test_anything_else_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursor.parse(text)


@given(
    CURSORS,
    st.lists(st.tuples(st.integers(4, 5), THINGS), max_size=80),
    st.sets(THINGS, max_size=3),
    st.integers(0, 80),
)
def test_behind_each_thing_exactly_the_rest_is_left(
    told: Cursor, written: list[tuple[int, Thing]], later: set[Thing], place: int
) -> None:
    # Given what changed after `told` and until now; some of it is for later.
    changed = [(Moment(seconds, 0), thing) for seconds, thing in written]
    now = Moment(6, 0)
    due = sorted(told.left(changed) - later)
    later &= told.left(changed)
    if not due:
        return
    # When a client stops behind one of the things that are told now.
    place %= len(due)
    cursor = cursors(told, due, now, later)[place]
    # Then it is still to be told of those behind, and of what is for later; and of what changes afterwards.
    assert cursor.left([each for each in changed if each[0] > cursor.until]) == {*due[place + 1 :], *later}
    new = Thing(Kind.DEVICE, "main", "new")
    assert new in cursor.left([(Moment(7, 0), new)])


def test_a_cursor_for_a_site_names_nothing_of_another() -> None:
    ours, theirs = Thing(Kind.DEVICE, "main", "W-1"), Thing(Kind.DEVICE, "other", "W-1")
    assert Cursor(Moment(1, 1), (ours, theirs)).of("main").owed == (ours,)
