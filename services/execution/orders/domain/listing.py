"""Lists of the tasks of a project."""

from dataclasses import dataclass

from libs.contracts.task_lists import ListedTask, ListTasks
from libs.contracts.task_lists import TaskState as ListedState
from services.execution.orders.domain.task import Task, TaskState


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What all tasks of a list have in common; what is empty or None restricts nothing."""

    states: frozenset[TaskState] = frozenset()
    step: int | None = None
    first_execution: int | None = None
    last_execution: int | None = None

    def takes(self, task: Task) -> bool:
        return (
            (not self.states or task.state in self.states)
            and self.step in (None, task.step)
            and (self.first_execution is None or task.execution >= self.first_execution)
            and (self.last_execution is None or task.execution <= self.last_execution)
        )


def filter_of(question: ListTasks) -> TaskFilter:
    return TaskFilter(
        states=frozenset(TaskState(state.value) for state in question.states),
        step=question.step,
        first_execution=question.first_execution,
        last_execution=question.last_execution,
    )


def listed(task: Task) -> ListedTask:
    return ListedTask(
        task_id=task.id,
        line_id=task.line_id,
        recipe_code=task.recipe_code,
        execution_number=task.execution,
        step=task.step,
        state=ListedState(task.state.value),
        device_type=task.held_by_type,
        device_id=task.device_id,
        attempt=task.attempt,
        fence=task.fence,
    )
