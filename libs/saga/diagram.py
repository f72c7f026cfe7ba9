"""Mermaid state diagram of a saga's table."""

from libs.contracts.base import Message
from libs.saga.definition import Definition


def mermaid(definition: Definition) -> str:
    """Draw the states of the definition with the replies on the arrows, and one more state for each undo."""
    lines = ["stateDiagram-v2", f"    [*] --> {definition.steps[0].waiting}"]
    for step in definition.steps:
        following = definition.after(step.name)
        target = following.waiting if following else "ACTIVE"
        lines.append(f"    {step.waiting} --> {target}: {_name(step.success)}")
        if step.failure is not None:
            first = definition.to_undo(step.name, itself=False)
            lines.append(f"    {step.waiting} --> {_undoing(first)}: {_name(step.failure)}")
        if step.can_fail:
            on_timeout = definition.to_undo(step.name, itself=True)
            lines.append(f"    {step.waiting} --> {_undoing(on_timeout)}: no answer, cancelled")
    undos = definition.to_undo(definition.steps[-1].name, itself=True)
    for index, name in enumerate(undos):
        step = definition.by_name[name]
        assert step.undone is not None
        lines.append(f"    {_undoing(undos[index:])} --> {_undoing(undos[index + 1 :])}: {_name(step.undone)}")
        lines.append(f"    {_undoing(undos[index:])} --> STUCK: no answer to the undo")
    lines += ["    ACTIVE --> [*]", "    PLANNING --> [*]"]
    return "\n".join(lines) + "\n"


def _undoing(names: tuple[str, ...]) -> str:
    return f"UNDO_{names[0].upper()}" if names else "PLANNING"


def _name(cls: type[Message]) -> str:
    return cls.__name__
