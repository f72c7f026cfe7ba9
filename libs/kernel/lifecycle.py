"""A lifecycle: the states of a thing as a table of edges, from which its code, its tests and its drawing are made."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from libs.kernel.errors import Permanent

S = TypeVar("S", bound=StrEnum)


class IllegalTransition(Permanent):
    """A state change that no edge of the lifecycle allows."""


class Lifecycle(Generic[S]):
    """`edges` names for each state those that may follow; None stands before the first.

    An edge from a state to itself is a change of content. A state that nothing follows is an end.
    """

    def __init__(self, name: str, edges: Mapping[S | None, Collection[S]]) -> None:
        self.name = name
        self._edges = {before: frozenset(after) for before, after in edges.items()}

    def allows(self, before: S | None, after: S) -> bool:
        return after in self._edges[before]

    def check(self, before: S | None, after: S, whose: str) -> None:
        """Let the edge pass.

        Raises:
            IllegalTransition: there is no such edge.
        """
        if after not in self._edges[before]:
            raise IllegalTransition(f"{self.name} {whose} cannot go from {before} to {after}")

    def edges(self) -> Iterator[tuple[S | None, S]]:
        """Every edge, in the order of the table."""
        for before, following in self._edges.items():
            for after in sorted(following, key=list(self._edges).index):
                yield before, after

    def mermaid(self) -> str:
        """The edges as a Mermaid state diagram, those from a state to itself left out."""
        lines = ["stateDiagram-v2"]
        lines += [f"    {before or '[*]'} --> {after}" for before, after in self.edges() if before != after]
        lines += [f"    {state} --> [*]" for state, following in self._edges.items() if not following - {state}]
        return "\n".join(lines) + "\n"
