"""The simulated shop floor: devices with slots, tasks that take time, reports. Pure: time comes in as an argument.

One heap of moments serves all devices, so thousands of running tasks cost no more than their entries.
"""

import heapq
import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from libs.devkit.simulators.chance import NO_TROUBLE, Rates, draws, measurements, verdict
from libs.devkit.simulators.wire import new_id, rfc3339

STARTED = "device.task.started.v1"
COMPLETED = "device.task.completed.v1"
FAILED = "device.task.failed.v1"

LATE_SECONDS = 0.3
"""After this time the late kind of duplicate follows its report; the task may be long done with then."""
REMEMBERED_TASKS = 200_000


@dataclass(slots=True)
class Device:
    """One machine. It works on as many tasks at once as it has slots; what comes beyond that waits."""

    device_id: str
    device_type: str
    slots: int = 1
    name: str | None = None
    working: int = 0
    waiting: "deque[Job]" = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Job:
    """One assignment taken: the task under one fence."""

    task: Mapping[str, Any]
    attributes: Mapping[str, str]
    device: Device
    seconds: float
    started_at: float | None = None
    dropped: bool = False

    @property
    def task_id(self) -> str:
        return str(self.task["task_id"])

    @property
    def fence(self) -> int:
        return int(self.task["fence"])


@dataclass(frozen=True, slots=True)
class Report:
    """One message to the factory. `attributes` are CloudEvents extensions, taken over from the assignment."""

    type: str
    data: dict[str, Any]
    message_id: str
    attributes: Mapping[str, str]


@dataclass(slots=True)
class Tally:
    """What the shop floor has seen and said, since it began."""

    assigned: int = 0
    assigned_twice: int = 0
    revoked: int = 0
    started: int = 0
    good: int = 0
    scrap: int = 0
    failed: int = 0
    reported_twice: int = 0

    def __str__(self) -> str:
        return (
            f"tasks {self.assigned} taken, {self.good} good, {self.scrap} scrapped, {self.failed} failed, "
            f"{self.revoked} revoked; {self.reported_twice} reports sent twice"
        )


class Stations:
    """Takes assignments and revocations, gives reports when their time has come.

    `speed` divides every task's expected seconds; with 0 or infinity a task takes no time.
    """

    def __init__(
        self, devices: Iterable[Device], *, speed: float = 1.0, rates: Rates = NO_TROUBLE, seed: int = 0
    ) -> None:
        if speed < 0 or math.isnan(speed):
            raise ValueError(f"the speed {speed} is negative")
        self.devices = {device.device_id: device for device in devices}
        self.tally = Tally()
        self._pace = 0.0 if speed == 0 or math.isinf(speed) else 1 / speed
        self._rates = rates
        self._seed = seed
        self._jobs: dict[str, Job] = {}
        self._fences: OrderedDict[str, int] = OrderedDict()
        self._moments: list[tuple[float, int, Job | Report]] = []
        self._count = 0
        self._reports: list[Report] = []

    def assign(self, task: Mapping[str, Any], attributes: Mapping[str, str], now: float) -> bool:
        """Take a task; False when it is for another gateway's device or its fence is known already."""
        device = self.devices.get(str(task.get("device_id")))
        if device is None:
            return False
        seconds = float(task["expected_seconds"]) * self._pace
        if not self._remember(str(task["task_id"]), int(task["fence"])):
            self.tally.assigned_twice += 1
            return False
        self.tally.assigned += 1
        self._drop(str(task["task_id"]))  # a newer lease voids the older one
        job = Job(task, attributes, device, seconds)
        self._jobs[job.task_id] = job
        device.waiting.append(job)
        self._start_waiting(device, now)
        return True

    def revoke(self, task: Mapping[str, Any], now: float) -> bool:
        """Let go of a task that is not finished; False when there is nothing to let go of."""
        job = self._jobs.get(str(task.get("task_id")))
        if str(task.get("device_id")) in self.devices:
            self._remember(str(task["task_id"]), int(task["fence"]))
        if job is None or job.fence > int(task["fence"]):
            return False
        self._drop(job.task_id)
        self.tally.revoked += 1
        self._start_waiting(job.device, now)
        return True

    def advance(self, now: float) -> list[Report]:
        """Everything that is to be said up to `now` (seconds of Unix time), in order."""
        while self._moments and self._moments[0][0] <= now:
            due, _, what = heapq.heappop(self._moments)
            if isinstance(what, Report):
                self._reports.append(what)
            elif not what.dropped:
                self._finish(what, max(due, what.started_at or due))
                self._start_waiting(what.device, now)
        reports, self._reports = self._reports, []
        return reports

    @property
    def next_moment(self) -> float:
        """When `advance` will next have something to do; infinity when nothing is under way."""
        if self._reports:
            return 0.0
        return self._moments[0][0] if self._moments else math.inf

    def leases(self) -> dict[str, list[dict[str, Any]]]:
        """Every device's tasks under way, as a heartbeat names them."""
        held: dict[str, list[dict[str, Any]]] = {device_id: [] for device_id in self.devices}
        for job in self._jobs.values():
            held[job.device.device_id].append({"task_id": job.task_id, "fence": job.fence})
        return held

    def _remember(self, task_id: str, fence: int) -> bool:
        """Note the fence; False when it, or a newer one, is known."""
        if self._fences.get(task_id, -1) >= fence:
            return False
        self._fences[task_id] = fence
        self._fences.move_to_end(task_id)
        if len(self._fences) > REMEMBERED_TASKS:
            self._fences.popitem(last=False)
        return True

    def _drop(self, task_id: str) -> None:
        job = self._jobs.pop(task_id, None)
        if job is None:
            return
        job.dropped = True
        if job.started_at is None:
            job.device.waiting.remove(job)
        else:
            job.device.working -= 1

    def _start_waiting(self, device: Device, now: float) -> None:
        while device.waiting and device.working < device.slots:
            job = device.waiting.popleft()
            device.working += 1
            job.started_at = now
            self.tally.started += 1
            self._say(job, STARTED, now, {})
            self._at(now + job.seconds, job)

    def _finish(self, job: Job, now: float) -> None:
        del self._jobs[job.task_id]
        job.device.working -= 1
        outcome = verdict(self._seed, self._rates, job.task)
        if outcome.outcome == "FAILED":
            self.tally.failed += 1
            self._say(job, FAILED, now, {"reason": outcome.reason, "retryable": True})
            return
        details: dict[str, Any] = {"outcome": outcome.outcome, "started_at": _text(job.started_at or now)}
        if measured := measurements(self._seed, job.task):
            details["measurements"] = measured
        if outcome.outcome == "SCRAP":
            self.tally.scrap += 1
            details["reason"] = outcome.reason
        else:
            self.tally.good += 1
        self._say(job, COMPLETED, now, details)

    def _say(self, job: Job, kind: str, now: float, details: dict[str, Any]) -> None:
        task = job.task
        data = {
            "task_id": job.task_id,
            "fence": job.fence,
            "device_id": job.device.device_id,
            "project_id": task.get("project_id"),
            "at": _text(now),
            **details,
        }
        report = Report(kind, data, new_id(), job.attributes)
        self._reports.append(report)
        if self._rates.duplicate:
            self._perhaps_again(report, task, now)

    def _perhaps_again(self, report: Report, task: Mapping[str, Any], now: float) -> None:
        """A duplicate is under the same id or a new one, at once or late: four kinds, equally often."""
        first, second = draws(self._seed, f"again {report.type}", task)
        if first >= self._rates.duplicate:
            return
        self.tally.reported_twice += 1
        kind = int(second * 4)
        again = report if kind & 1 else Report(report.type, report.data, new_id(), report.attributes)
        if kind & 2:
            self._at(now + LATE_SECONDS, again)
        else:
            self._reports.append(again)

    def _at(self, moment: float, what: Job | Report) -> None:
        self._count += 1
        heapq.heappush(self._moments, (moment, self._count, what))


def _text(moment: float) -> str:
    return rfc3339(datetime.fromtimestamp(moment, UTC))
