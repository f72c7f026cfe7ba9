"""Definition of a saga: a table of named steps, each with its command, its replies and its undo."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from libs.contracts.base import Message
from libs.contracts.topics import Topic
from libs.kernel.errors import Transient

Context = Mapping[str, Any]
"""The data of a running saga, as plain JSON; each success adds to it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One row of the table.

    A step without `failure` is retried until it succeeds; a step without `undo` leaves nothing to undo.
    """

    name: str
    waiting: str
    """The name of the state in which the saga waits for the reply."""
    command: type[Message]
    carries: Callable[[Context], Mapping[str, Any]] = lambda _: {}
    """The fields of the command, taken from the context; the ids that every message carries are added."""
    success: type[Message]
    learns: Callable[[Any], dict[str, Any]] = lambda _: {}
    """What the success adds to the context."""
    failure: type[Message] | None = None
    undo: type[Message] | None = None
    """The command that undoes the step; it carries the ids and nothing else."""
    undone: type[Message] | None = None
    seconds: float = 30.0
    """Seconds to wait for a reply before the command is sent again."""
    insists: bool = False
    """The participant may refuse, but silence never counts as a refusal: too much would be undone for nothing."""
    tries: int = 3
    """How often the command or the undo is sent before silence fails it, unless the step cannot fail."""

    def __post_init__(self) -> None:
        if (self.undo is None) != (self.undone is None):
            raise ValueError(f"step {self.name}: an undo and its confirmation belong together")

    @property
    def can_fail(self) -> bool:
        """Whether silence or an abort may fail the step; any other step is retried until its participant replies."""
        return self.failure is not None and not self.insists

    @property
    def replies(self) -> tuple[type[Message], ...]:
        """The types of all replies to the step's command and undo."""
        return tuple(cls for cls in (self.success, self.failure, self.undone) if cls is not None)

    @property
    def commands(self) -> tuple[type[Message], ...]:
        """The types of all messages sent for the step."""
        return tuple(cls for cls in (self.command, self.undo) if cls is not None)


@dataclass(frozen=True)
class Definition:
    """The table of a saga; `version` grows with every change that would affect a running saga."""

    name: str
    version: int
    steps: tuple[Step, ...]
    ids: tuple[str, ...] = ("activation_id", "project_id")
    """The names of the context's fields that every message of the saga carries."""

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if len(set(names)) < len(names):
            raise ValueError(f"saga {self.name}: two steps have the same name")

    @cached_property
    def by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    def with_step(self, step: Step, *, before: str) -> Self:
        """The next version of the table, which has one more step in front of that named `before`."""
        index = self.steps.index(self.by_name[before])
        return replace(self, version=self.version + 1, steps=(*self.steps[:index], step, *self.steps[index:]))

    def after(self, name: str) -> Step | None:
        """The following step; None after the last."""
        index = self.steps.index(self.by_name[name]) + 1
        return self.steps[index] if index < len(self.steps) else None

    def to_undo(self, name: str, *, itself: bool) -> tuple[str, ...]:
        """The names of the steps to undo when `name` fails, in the order of undoing; `itself` includes `name`."""
        index = self.steps.index(self.by_name[name]) + itself
        return tuple(step.name for step in reversed(self.steps[:index]) if step.undo is not None)

    @cached_property
    def replies(self) -> tuple[type[Message], ...]:
        """The types of all messages that move the saga."""
        return tuple(dict.fromkeys(cls for step in self.steps for cls in step.replies))

    def command(self, step: Step, context: Context) -> Message:
        return step.command(**self._ids(context), **step.carries(context))

    def undo(self, step: Step, context: Context) -> Message:
        assert step.undo is not None, "only steps with an undo are ever undone"
        return step.undo(**self._ids(context))

    def _ids(self, context: Context) -> dict[str, Any]:
        return {name: context[name] for name in self.ids}


class UnknownDefinition(LookupError):
    """The table under which a saga began is in the list no more: it was removed too early."""


class NewerDefinition(Transient):
    """A saga began under a table newer than all of its name here: an instance of a later release has that table."""


class Definitions:
    """The tables of a service: a saga goes on under the version that it began with, a new one begins under the newest.

    An older version stays in the list as long as one of its sagas may run, be stuck, or receive a late reply.
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
            NewerDefinition: it is newer than every table of its name here; a later release has it.
            UnknownDefinition: this release has a newer one, and this one no more.
        """
        try:
            return self._all[name, version]
        except KeyError:
            missing = f"there is no table of the saga {name} in version {version}"
        newest = max((each.version for each in self if each.name == name), default=0)
        if version > newest:
            raise NewerDefinition(f"{missing}, the newest here is {newest}: this is for an instance of a later release")
        raise UnknownDefinition(missing)

    def __iter__(self) -> Iterator[Definition]:
        return iter(self._all.values())

    @property
    def replies(self) -> dict[Topic, tuple[type[Message], ...]]:
        """The types of all messages that move a saga of any version, by topic."""
        return _by_topic(cls for each in self for step in each.steps for cls in step.replies)

    @property
    def commands(self) -> dict[Topic, tuple[type[Message], ...]]:
        """The types of all messages that a saga of any version sends, by topic."""
        return _by_topic(cls for each in self for step in each.steps for cls in step.commands)


def _by_topic(classes: Iterable[type[Message]]) -> dict[Topic, tuple[type[Message], ...]]:
    found: dict[Topic, dict[type[Message], None]] = {}
    for cls in classes:
        found.setdefault(cls.TOPIC, {})[cls] = None
    return {topic: tuple(each) for topic, each in found.items()}
