"""Circles in a graph of steps."""

from collections.abc import Iterator, Mapping, Sequence


def cycles(graph: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Different circles, enough of them that without the arrow which closes each there is no circle at all.

    So there are at most as many as arrows, while the ways around may be beyond count. Each is told along its arrows,
    from its lowest step. `graph` gives the steps that each step waits for.
    """
    done: set[int] = set()
    for start in sorted(graph):
        path: list[int] = []
        place: dict[int, int] = {}
        # A recipe may have a thousand steps in a row: no recursion.
        ahead: list[Iterator[int]] = [iter((start,))]
        while ahead:
            step = next(ahead[-1], None)
            if step is None:
                ahead.pop()
                if path:
                    done.add(path[-1])
                    del place[path.pop()]
            elif step in place:
                circle = path[place[step] :]
                lowest = circle.index(min(circle))
                yield (*circle[lowest:], *circle[:lowest])
            elif step not in done:
                place[step] = len(path)
                path.append(step)
                ahead.append(iter(sorted(set(graph[step]))))
