"""Decisions as values: the project after a message, the messages to send, and the effect on a saga."""

from dataclasses import dataclass, replace

from libs.contracts.envelope import Cause
from libs.contracts.projects import RebaseProject, UndoDecision
from services.projects.domain.project import Out, Project


@dataclass(frozen=True)
class BeginActivation:
    """Start the saga of the activation that the project has just entered."""


@dataclass(frozen=True)
class BeginRebase:
    """Start the saga of the rebase that an operator has asked for."""

    command: RebaseProject


@dataclass(frozen=True)
class TurnBack:
    """Undo the running activation, because the order was cancelled or revised before its release."""


@dataclass(frozen=True)
class Unstick:
    """Send the stuck undo of the activation again, or skip it, as an operator has decided."""

    decision: UndoDecision


@dataclass(frozen=True)
class Forestall:
    """Remember the revision of a cancellation that arrived before its order, so that the order is rejected."""

    revision: int


Effect = BeginActivation | BeginRebase | TurnBack | Unstick | Forestall


@dataclass(frozen=True)
class Decision:
    """The outcome of one message for one project."""

    project: Project | None = None
    """The project with its changes; None when it stays as it was, or when there is no project."""
    messages: tuple[Out, ...] = ()
    effect: Effect | None = None

    def then(self, later: "Decision") -> "Decision":
        """Both decisions as one: project and effect of the later one win, its messages follow."""
        effect = self.effect if later.effect is None else later.effect
        return Decision(later.project or self.project, self.messages + later.messages, effect)

    def on_behalf_of(self, cause: Cause) -> "Decision":
        """The decision with every message sent under the given cause instead of that of the message in hand."""
        return replace(self, messages=tuple(each._replace(cause=cause) for each in self.messages))


UNCHANGED = Decision()
