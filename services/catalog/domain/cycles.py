"""Circles in a graph of steps, each named once."""

from collections.abc import Iterator, Mapping, Sequence


def cycles(graph: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Circles that share no step, each from its lowest step along the arrows; none means there is no circle at all.

    `graph` gives the steps that each step waits for. A recipe may have a thousand steps in a row: no recursion.
    """
    done: set[int] = set()
    for start in sorted(graph):
        path: list[int] = []
        on_path: set[int] = set()
        ahead: list[Iterator[int]] = [iter((start,))]
        while ahead:
            step = next(ahead[-1], None)
            if step is None:
                ahead.pop()
                done.update(path[-1:])
                on_path.difference_update(path[-1:])
                path[-1:] = []
            elif step in on_path:
                # The circle's steps are done with: others through them are seen once this one is broken.
                circle = path[path.index(step) :]
                done.update(circle)
                on_path.difference_update(circle)
                del path[-len(circle) :], ahead[-len(circle) :]
                lowest = circle.index(min(circle))
                yield (*circle[lowest:], *circle[:lowest])
            elif step not in done:
                path.append(step)
                on_path.add(step)
                ahead.append(iter(sorted(graph[step])))
