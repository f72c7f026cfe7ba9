"""What a saga is: named steps in a row, each with its command, its answers and its undo."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from libs.contracts.base import Message
from libs.contracts.topics import Topic

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
    command: type[Message]
    carries: Callable[[Context], Mapping[str, Any]] = lambda _: {}
    """What of the context the command says, beside the ids that every message of the saga carries."""
    success: type[Message]
    learns: Callable[[Any], dict[str, Any]] = lambda _: {}
    """What of the success goes into the context."""
    failure: type[Message] | None = None
    undo: type[Message] | None = None
    """Its only content are the ids."""
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

    @property
    def replies(self) -> tuple[type[Message], ...]:
        """Everything that its participants may answer."""
        return tuple(cls for cls in (self.success, self.failure, self.undone) if cls is not None)

    @property
    def commands(self) -> tuple[type[Message], ...]:
        """Everything that is sent for it."""
        return tuple(cls for cls in (self.command, self.undo) if cls is not None)


@dataclass(frozen=True)
class Definition:
    """A saga's table. `version` changes whenever a running saga would read the table differently."""

    name: str
    version: int
    steps: tuple[Step, ...]
    ids: tuple[str, ...] = ("activation_id", "project_id")
    """The fields of the context that every message of the saga carries."""

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
        return tuple(dict.fromkeys(cls for step in self.steps for cls in step.replies))

    def command(self, step: Step, context: Context) -> Message:
        return step.command(**self._ids(context), **step.carries(context))

    def undo(self, step: Step, context: Context) -> Message:
        assert step.undo is not None, "only steps with an undo are ever undone"
        return step.undo(**self._ids(context))

    def _ids(self, context: Context) -> dict[str, Any]:
        return {name: context[name] for name in self.ids}


class UnknownDefinition(LookupError):
    """No table of that name and version: a saga of a later release, or of one whose table was taken away too early."""


class Definitions:
    """The tables of a service: a saga goes on under the version that it began with, a new one begins under the newest.

    An older version stays in the list for as long as a saga of it may run or be looked at.
    """

    def __init__(self, *definitions: Definition) -> None:
        self._all = {(each.name, each.version): each for each in definitions}
        if len(self._all) < len(definitions):
            raise ValueError("two tables have the same name and version")

    def newest(self, name: str) -> Definition:
        """The table under which a new saga begins."""
        return max((each for each in self if each.name == name), key=lambda each: each.version)

    def of(self, name: str, version: int) -> Definition:
        """The table of a saga that has begun.

        Raises:
            UnknownDefinition: there is none.
        """
        try:
            return self._all[name, version]
        except KeyError:
            raise UnknownDefinition(f"there is no table of the saga {name} in version {version}") from None

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._all.values())

    @property
    def replies(self) -> dict[Topic, tuple[type[Message], ...]]:
        """Every message that moves a saga of any version, by the topic on which it comes."""
        return _by_topic(cls for each in self for step in each.steps for cls in step.replies)

    @property
    def commands(self) -> dict[Topic, tuple[type[Message], ...]]:
        """Every message that a saga of any version sends, by topic."""
        return _by_topic(cls for each in self for step in each.steps for cls in step.commands)


def _by_topic(classes: Iterable[type[Message]]) -> dict[Topic, tuple[type[Message], ...]]:
    found: dict[Topic, dict[type[Message], None]] = {}
    for cls in classes:
        found.setdefault(cls.TOPIC, {})[cls] = None
    return {topic: tuple(each) for topic, each in found.items()}
