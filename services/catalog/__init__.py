"""Catalog: the live recipes, products and device types of every site, in versions.

Owns master data. Consumes `catalog.commands`; produces `catalog.events` (what was published, retired or rejected) and
`catalog.replies` (the definitions that an order resolves to, for the activation saga).
"""
