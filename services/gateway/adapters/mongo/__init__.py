"""The ports on MongoDB."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.messaging.mongo import driver


@contextmanager
def in_our_words() -> Iterator[None]:
    """Errors of the driver as the kernel's, for calls outside a transaction."""
    try:
        yield
    except driver.PyMongoError as error:
        raise driver.translated(error) from error
