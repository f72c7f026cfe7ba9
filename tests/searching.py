"""How far property tests search.

`make test` tries a few examples, and the same ones each time: what fails there has been changed, and was not drawn by
chance. `make test-deep` tries `SEARCH` times as many, each time others, and keeps what failed in `.hypothesis`.
"""

import os

import hypothesis

SEARCH = int(os.environ.get("SEARCH", "1"))


def examples(count: int) -> int:
    """The number of examples to try, where `make test` tries `count`."""
    return count * SEARCH


def configure() -> None:
    """The settings of every property test; a busy machine is no failure, so there is no deadline."""
    hypothesis.settings.register_profile("factory", deadline=None, max_examples=examples(40), derandomize=SEARCH == 1)
    hypothesis.settings.load_profile("factory")
