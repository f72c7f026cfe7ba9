"""Machines that keep a record of their own: what came when, what was begun and done when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.devkit.simulators.stations import COMPLETED, Report, Stations


@dataclass(frozen=True, slots=True)
class Done:
    """One task, done; times in seconds of Unix time."""

    order_id: str
    step: int
    device_id: str
    execution: int
    fence: int
    began: float
    ended: float
    queued: bool
    """It came while the device was at work: the factory gave a slot away twice."""


class RecordedFloor(Stations):
    """The simulated floor, exact as it is: a task takes its expected seconds, counted from when it comes."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.record: list[Done] = []
        self._taken: dict[tuple[str, int], tuple[Mapping[str, Any], bool]] = {}

    def assign(self, task: Mapping[str, Any], attributes: Mapping[str, str], now: float) -> bool:
        device = self.devices.get(str(task.get("device_id")))
        busy = device is not None and device.working >= device.slots
        taken = super().assign(task, attributes, now)
        if taken:
            self._taken[str(task["task_id"]), int(task["fence"])] = (task, busy)
        return taken

    def advance(self, now: float) -> list[Report]:
        reports = super().advance(now)
        self.record += [self._done(report.data) for report in reports if report.type == COMPLETED]
        return reports

    def _done(self, said: Mapping[str, Any]) -> Done:
        task, queued = self._taken[said["task_id"], said["fence"]]
        return Done(
            order_id=task["order_id"],
            step=task["step"],
            device_id=said["device_id"],
            execution=task["execution_number"],
            fence=said["fence"],
            began=datetime.fromisoformat(said["started_at"]).timestamp(),
            ended=datetime.fromisoformat(said["at"]).timestamp(),
            queued=queued,
        )
