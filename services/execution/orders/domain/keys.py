"""The keys under which the shop floor finds tasks; those of executions and tasks stand with the contracts."""

from typing import NamedTuple, Self


class QueueKey(NamedTuple):
    """A device type of a site: the queue of tasks that are ready for it, and the pool of those that it holds."""

    site: str
    device_type: str

    def __str__(self) -> str:
        return f"{self.site}/{self.device_type}"

    @classmethod
    def parse(cls, text: str) -> Self:
        site, _, device_type = text.partition("/")
        return cls(site, device_type)


class SourceKey(NamedTuple):
    """One step of one snapshot of one order: its ready tasks differ in their execution and freshness only."""

    project_id: str
    snapshot_id: str
    step: int

    def __str__(self) -> str:
        return f"{self.project_id}/{self.snapshot_id}/{self.step}"

    @classmethod
    def parse(cls, text: str) -> Self:
        project_id, snapshot_id, step = text.split("/")
        return cls(project_id, snapshot_id, int(step))
