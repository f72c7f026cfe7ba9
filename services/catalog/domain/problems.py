"""How many problems one answer names."""

from libs.contracts.base import Problem

MOST_PROBLEMS = 1000
"""So that the answer to a huge mistake can still be sent."""


def capped(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """All of them, or the first and how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    if more <= 0:
        return problems
    return (*problems[:MOST_PROBLEMS], Problem(code="AND_MORE", path="", message=f"{more} more are not listed"))
