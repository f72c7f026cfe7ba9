"""What is left of a project in all databases: looked for everywhere, known memories excepted.

A collection that is added later is looked into as well, so that nothing is forgotten because nobody thought of it.
"""

import re
from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

Document = dict[str, Any]

MEMORIES: dict[tuple[str, str], Callable[[Document], bool]] = {
    ("projects", "projects"): lambda project: project["state"] in {"PLANNING", "CANCELLED"},
    ("projects", "sagas"): lambda saga: saga["status"] == "COMPENSATED" and saga["deadline"] is None,
    ("execution", "work_orders"): lambda order: order["state"] == "WITHDRAWN" and order["lines"] == [],
    ("snapshot", "activations"): lambda activation: activation["references"] == [],
    ("task_generation", "cancellations"): lambda tombstone: True,
}
"""What may remain of an activation that was undone: the project, and memories that say that it was undone."""

WATCHERS = frozenset({"insight", "gateway"})
"""Services that only keep what they were told."""

KERNEL = frozenset({"inbox", "outbox", "leases"})


class Leftovers:
    """All databases of one factory."""

    def __init__(self, mongodb: str, namespace: str) -> None:
        self._client: MongoClient[Document] = MongoClient(mongodb, tz_aware=True)
        prefix = f"{namespace}_factory_"
        self.databases = {
            name.removeprefix(prefix): self._client[name]
            for name in self._client.list_database_names()
            if name.startswith(prefix)
        }

    def close(self) -> None:
        self._client.close()

    def of(self, project_id: str) -> list[str]:
        """Whatever speaks of the project and is not a memory of it, as `service.collection: document`."""
        escaped = re.escape(project_id)
        speaks_of_it = {
            "$or": [
                {"project_id": project_id},
                {"context.project_id": project_id},
                {"_id": {"$regex": f"(^|/){escaped}($|[:/#])"}},
            ]
        }
        return [
            f"{service}.{collection}: {document}"
            for service, database in self.databases.items()
            if service not in WATCHERS
            for collection in database.list_collection_names()
            if collection not in KERNEL
            for document in database[collection].find(speaks_of_it)
            if not MEMORIES.get((service, collection), lambda _: False)(document)
        ]

    def unpublished(self) -> dict[str, int]:
        """Outbox entries by service, where there are any."""
        counts = {service: database["outbox"].count_documents({}) for service, database in self.databases.items()}
        return {service: count for service, count in counts.items() if count}
