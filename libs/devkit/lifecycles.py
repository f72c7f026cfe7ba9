"""`python -m libs.devkit.lifecycles deploy/docs/lifecycles.md`: draw the lifecycles of all services into a page.

The page is made of the tables in the services' domains; `--check` changes nothing and ends with 1 when it is stale.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from libs.devkit.service import service_names
from libs.kernel.lifecycle import Lifecycle
from libs.kernel.pages import run

HEAD = """\
# Lifecycles

What states a project, a work order, a task and a device go through. The page is generated from the tables in the code
(`python -m libs.devkit.lifecycles deploy/docs/lifecycles.md`), which are also the only way from one state to another:
a change along an edge that is not drawn here is refused. Edges from a state to itself, changes of content, are left
out.
"""


def lifecycles() -> dict[str, Lifecycle[Any]]:
    """Every lifecycle that a service's domain defines, by its name."""
    found = (each for name in service_names() for each in _of_service(name))
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def _of_service(name: str) -> Iterator[Lifecycle[Any]]:
    package = importlib.import_module(f"services.{name}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".domain." not in module.name:
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Lifecycle):
                yield value


def page() -> str:
    drawn = (f"## {name.capitalize()}\n\n```mermaid\n{each.mermaid()}```\n" for name, each in lifecycles().items())
    return "\n".join([HEAD, *drawn])


def main(arguments: Sequence[str]) -> int:
    return run("libs.devkit.lifecycles", arguments, lambda _: page())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
