"""`python -m services.projects.diagram README.md`: draw the activation saga's table into a page.

The drawing stands between two comments; `--check` changes nothing and ends with 1 when it is stale.
"""

import sys
from collections.abc import Sequence

from libs.kernel.pages import between, run
from libs.saga.diagram import mermaid
from services.projects.saga import ACTIVATION

BEGIN = "<!-- activation saga: generated, see services/projects/diagram.py -->"
END = "<!-- end of activation saga -->"


def drawn_into(page: str) -> str:
    """The page with the current drawing between the comments.

    Raises:
        ValueError: the comments are not there.
    """
    return between(page, BEGIN, END, f"```mermaid\n{mermaid(ACTIVATION)}```\n")


def main(arguments: Sequence[str]) -> int:
    return run("services.projects.diagram", arguments, drawn_into)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
