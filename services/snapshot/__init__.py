"""Snapshot: immutable copies of recipe and product versions, addressed by the hash of their content.

Owns snapshots and which activation refers to which. Consumes `snapshot.commands`; produces `snapshot.events`.
"""
