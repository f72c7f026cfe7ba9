"""One process under supervision: watched by a thread of its own, brought back with growing delays when it dies."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from libs.devkit.state import ProcessStatus

_LOOK_EVERY = 0.1  # seconds, while it is not ready


class Subject(Protocol):
    """What can be supervised: a service or a backend."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def alive(self) -> bool: ...

    def answer(self) -> str | None:
        """None when it is ready for work, else why not."""

    def restart(self) -> None:
        """Start it, or start it again after it died. Raises an Exception when that fails."""

    def ending(self) -> str:
        """How it ended, in words."""

    def tail(self) -> str:
        """The last lines it printed."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def kill(self) -> None: ...

    def request_stop(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait before the n-th restart in a row: first, 2 × first, 4 × first … up to `most`.

    Who was ready for `forgiven_after` seconds starts again from `first`.
    """

    first: float = 0.5
    most: float = 30.0
    forgiven_after: float = 30.0

    def delay(self, deaths_in_a_row: int) -> float:
        return float(min(self.most, self.first * 2 ** min(deaths_in_a_row - 1, 30)))


DEFAULT_BACKOFF = Backoff()


class Supervised:
    """Keeps one subject running until `stopping` is set; looks every `look_again_every` seconds once it is ready."""

    def __init__(
        self,
        subject: Subject,
        *,
        stopping: threading.Event,
        backoff: Backoff = DEFAULT_BACKOFF,
        look_again_every: float = 0.5,
        tell: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.subject = subject
        self.state = "starting"
        self.ready = False
        self.reason: str | None = "not started yet"
        self.restarts = 0
        self._stopping = stopping
        self._backoff = backoff
        self._look_again_every = look_again_every
        self._tell = tell
        self._changed = changed
        self._lock = threading.Lock()
        self._deaths_in_a_row = 0
        self._ready_since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervise {subject.name}", daemon=True)

    @property
    def status(self) -> ProcessStatus:
        return ProcessStatus(
            name=self.subject.name,
            pid=self.subject.pid,
            state=self.state,
            ready=self.ready,
            restarts=self.restarts,
        )

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def kill(self) -> None:
        """End it as a crash would; on return it is dead and not called ready. It will be brought back."""
        self.subject.kill()
        self._note("restarting", "it was killed")

    def _run(self) -> None:
        if not self.subject.alive:
            self._launch()
        while not self._stopping.is_set():
            if self.subject.alive:
                self._look()
                self._stopping.wait(self._look_again_every if self.ready else _LOOK_EVERY)
            else:
                self._bring_back()

    def _look(self) -> None:
        reason = self.subject.answer()
        self._note("starting" if reason and self.state == "starting" else "running", reason)
        if self._ready_since and time.monotonic() - self._ready_since > self._backoff.forgiven_after:
            self._deaths_in_a_row = 0

    def _bring_back(self) -> None:
        self._deaths_in_a_row += 1
        delay = self._backoff.delay(self._deaths_in_a_row)
        how = self.subject.ending()
        self._note("restarting", how)
        self._tell(f"{self.subject.name} {how}; starting it again in {delay:g} s")
        if self._stopping.wait(delay):
            return
        self.restarts += 1
        self._launch()

    def _launch(self) -> None:
        self._note("starting", "it is being started")
        try:
            self.subject.restart()
        except Exception as error:  # whatever it is, the answer is to say so and to try again later
            self._note("restarting", str(error))
        else:
            self._note("starting", "it does not answer yet")

    def _note(self, state: str, reason: str | None) -> None:
        with self._lock:
            # It may have been killed since it answered: dead is never ready.
            ready = reason is None and self.subject.alive
            self._ready_since = (self._ready_since or time.monotonic()) if ready else None
            was_ready = self.ready
            changed = (state, ready, reason) != (self.state, self.ready, self.reason)
            self.state, self.ready, self.reason = state, ready, reason
        if changed:
            self._changed()
        if ready and not was_ready and self.restarts:
            self._tell(f"{self.subject.name} is ready again")
