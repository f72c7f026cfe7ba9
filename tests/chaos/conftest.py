"""Whole factories, as the end-to-end tests have them."""

from tests.e2e.conftest import backends, shop

__all__ = ["backends", "shop"]
