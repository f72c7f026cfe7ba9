"""`python -m services.projects.diagram README.md`: draw the activation saga's table into a page.

The drawing stands between two comments; `--check` changes nothing and ends with 1 when it is stale.
"""

import sys
from pathlib import Path

from libs.saga.diagram import mermaid
from services.projects.saga import ACTIVATION

BEGIN = "<!-- activation saga: generated, see services/projects/diagram.py -->"
END = "<!-- end of activation saga -->"


def drawn_into(page: str) -> str:
    """The page with the current drawing between the comments.

    Raises:
        ValueError: the comments are not there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n```mermaid\n{mermaid(ACTIVATION)}```\n{END}{after}"


def main(arguments: list[str]) -> int:
    check, paths = "--check" in arguments, [Path(name) for name in arguments if name != "--check"]
    if len(paths) != 1:
        sys.stderr.write("usage: python -m services.projects.diagram [--check] PAGE\n")
        return 2
    page = paths[0].read_text()
    drawn = drawn_into(page)
    if check:
        return int(drawn != page)
    paths[0].write_text(drawn)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
