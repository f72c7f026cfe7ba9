"""Private parts of libraries are used as they were when somebody read them."""

from importlib.metadata import version

import pytest

from libs.kafka.internals import CHECKED_WITH


@pytest.mark.parametrize("library", CHECKED_WITH)
def test_the_versions_are_those_that_were_read(library: str) -> None:
    read, installed = CHECKED_WITH[library], version(library)
    assert installed == read, (
        f"libs/kafka/internals.py uses private parts of {library} and was checked with {read}, but {installed} is"
        f" installed: compare what the module's docstring names with the source of {installed}, run"
        f" tests/integration/kafka on both brokers, and then put {installed} into CHECKED_WITH."
    )
