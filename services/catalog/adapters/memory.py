"""Master data and task topics in memory: for tests, with the same behaviour as in MongoDB and on Kafka."""

import re
from collections.abc import Collection, Mapping, Sequence

from libs.contracts.topics import device_tasks_topic
from libs.kernel.errors import Conflict
from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.catalog.domain.entries import Entry, Key

LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")
"""The names of topics that Kafka takes."""


class MemoryMasterData:
    """The latest state of every code of every site, and every version that ever was."""

    def __init__(self) -> None:
        self._latest = Table[tuple[str, Key], Entry]()
        self._versions = Table[tuple[str, Key, int], Entry]()

    async def load(self, work: Work, wanted: Mapping[str, Collection[Key]]) -> dict[str, dict[Key, Entry]]:
        rows = self._latest.within(work.transaction)
        return {site: {key: rows[site, key] for key in keys if (site, key) in rows} for site, keys in wanted.items()}

    async def save(
        self, work: Work, changed: Mapping[str, Collection[Entry]], versions: Mapping[str, Sequence[Entry]]
    ) -> None:
        kept = self._versions.within(work.transaction)
        for site, entries in versions.items():
            for entry in entries:
                row = site, entry.key, entry.version
                if row in kept:
                    raise Conflict(f"version {entry.version} of {entry.key.code!r} was there first")
                kept[row] = entry
        latest = self._latest.within(work.transaction)
        latest.update({(site, entry.key): entry for site, entries in changed.items() for entry in entries})


class MemoryDeviceTopics:
    """The topics by their names. Like Kafka's, they are no part of any transaction."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def ensure(self, device_types: Collection[str]) -> Mapping[str, str]:
        refused: dict[str, str] = {}
        for device_type in sorted(device_types):
            name = device_tasks_topic(device_type)
            alike = {each for each in self.names if each.replace(".", "_") == name.replace(".", "_")}
            if alike - {name} or not LEGAL.fullmatch(name):
                refused[device_type] = "Kafka refuses the name, to it `.` and `_` are the same"
            else:
                self.names.add(name)
        return refused
