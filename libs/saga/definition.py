"""What a saga is: named steps in a row, each with its command, its answers and its undo."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from libs.contracts.base import Message

Context = Mapping[str, Any]
"""What the saga knows so far, as plain JSON; a success adds to it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row of the table.

    A step without `failure` is retried forward for good; one without `undo` leaves nothing behind to undo.
    """

    name: str
    waiting: str
    """The state's name while its answer is awaited."""
    command: Callable[[Context], Message]
    success: type[Message]
    learns: Callable[[Any], dict[str, Any]] = lambda _: {}
    """What of the success goes into the context."""
    failure: type[Message] | None = None
    undo: Callable[[Context], Message] | None = None
    undone: type[Message] | None = None
    seconds: float = 30.0
    """How long an answer is awaited before the command is sent again."""
    insists: bool = False
    """Its participant may refuse, but silence is not taken for a refusal: too much would be undone for nothing."""
    tries: int = 3
    """Sends of the command before the step is given up; a step without failure is never given up."""

    def __post_init__(self) -> None:
        if (self.undo is None) != (self.undone is None):
            raise ValueError(f"step {self.name}: an undo and its confirmation belong together")

    @property
    def can_fail(self) -> bool:
        """For silence, or because the saga is not wanted any more; one that cannot be is retried forward for good."""
        return self.failure is not None and not self.insists


@dataclass(frozen=True)
class Definition:
    """A saga's table. `version` changes whenever a running saga would read the table differently."""

    name: str
    version: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if len(set(names)) < len(names):
            raise ValueError(f"saga {self.name}: two steps have the same name")

    @cached_property
    def by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    def after(self, name: str) -> Step | None:
        """The step that follows, None behind the last."""
        index = self.steps.index(self.by_name[name]) + 1
        return self.steps[index] if index < len(self.steps) else None

    def to_undo(self, name: str, *, itself: bool) -> tuple[str, ...]:
        """The names of the steps to undo when `name` ends badly, in the order of undoing."""
        index = self.steps.index(self.by_name[name]) + itself
        return tuple(step.name for step in reversed(self.steps[:index]) if step.undo is not None)

    @cached_property
    def replies(self) -> tuple[type[Message], ...]:
        """Every message type that moves the saga."""
        found = [cls for step in self.steps for cls in (step.success, step.failure, step.undone) if cls is not None]
        return tuple(dict.fromkeys(found))
