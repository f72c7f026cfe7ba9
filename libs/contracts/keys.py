"""The typed ids of what is made: the one place where they are put together and taken apart.

An execution's key is `project/line/recipe/number`, a task's is that and `/step`. Codes hold no slash, and a project's
id is made of an order's code, so each part can be told from the next. To device gateways a task's id is opaque.
"""

from typing import NamedTuple, Self

MOST_DIGITS = 16
"""Of an execution's number or a step: what JSON readers keep exactly has no more."""


class ExecutionKey(NamedTuple):
    """One run of one recipe for one order line."""

    project_id: str
    line_id: str
    recipe_code: str
    number: int

    def __str__(self) -> str:
        return f"{self.project_id}/{self.line_id}/{self.recipe_code}/{self.number}"

    def task(self, step: int) -> str:
        """The id of the task of a step of this execution."""
        return f"{self.project_id}/{self.line_id}/{self.recipe_code}/{self.number}/{step}"


class TaskKey(NamedTuple):
    """One step of one execution, whether its task exists yet or not."""

    execution: ExecutionKey
    step: int

    def __str__(self) -> str:
        return self.execution.task(self.step)

    @property
    def project_id(self) -> str:
        return self.execution.project_id

    @classmethod
    def parse(cls, task_id: str) -> Self | None:
        """None when no task can have this id."""
        parts = task_id.split("/")
        if len(parts) != 5 or not all(parts) or not (_is_number(parts[3]) and _is_number(parts[4])):
            return None
        return cls(ExecutionKey(parts[0], parts[1], parts[2], int(parts[3])), int(parts[4]))


def project_of(task_id: str) -> str:
    """The project that a task id begins with; the whole text where it is no task's id."""
    return task_id.partition("/")[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS
