"""Pages that are generated from the code: written by a module of their own, and checked by it for being stale."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def between(page: str, begin: str, end: str, content: str) -> str:
    """The page with the content between two comments that stand in it.

    Raises:
        ValueError: the comments are not there.
    """
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page lacks {begin} or {end}")
    return f"{before}{begin}\n{content}{end}{after}"


def run(module: str, arguments: Sequence[str], written: Callable[[str], str]) -> int:
    """The command line of such a module: `[--check] PAGE`; the exit code.

    `written` makes the page as it shall be from the page as it is, which is empty where there is none. With `--check`
    nothing is changed, and the exit code is 1 when the page is stale.
    """
    check, paths = "--check" in arguments, [Path(name) for name in arguments if name != "--check"]
    if len(paths) != 1:
        sys.stderr.write(f"usage: python -m {module} [--check] PAGE\n")
        return 2
    page = paths[0].read_text() if paths[0].exists() else ""
    shall_be = written(page)
    if check:
        return int(shall_be != page)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    paths[0].write_text(shall_be)
    return 0
