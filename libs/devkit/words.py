"""`python -m libs.devkit.words deploy/docs/words.md`: the words of the project and what each means, as a page.

The table below is the one place where they stand; `--check` changes nothing and ends with 1 when the page is stale.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from libs.kernel.pages import run


class Word(NamedTuple):
    """A word, what it means here, and what the field calls the same (ISA-95; OPC UA Job Control, OPC 10031-4)."""

    word: str
    meaning: str
    elsewhere: str = ""


TRADE = (
    Word("order", "what the ERP asks for: lines of product or recipe with a quantity", "Operations Request"),
    Word("project", "the order as it lives here, from PLANNING to COMPLETED", "Operations Schedule entry"),
    Word("recipe", "steps that depend on each other, each with a device type and parameters; versioned", "Work Master"),
    Word("product", "the recipes that make a unit, each with its executions per unit; versioned", "Product Definition"),
    Word("snapshot", "an immutable copy of a version of a recipe or product, named by its hash", "Work Directive"),
    Word("work order", "the order on the shop floor: its plan, its counters, whether it may be worked on"),
    Word("execution", "one run of one recipe for one order line, numbered from 1", "run"),
    Word("task", "one step of one execution", "Job Order"),
    Word("report", "what a device says about a task", "Job Response"),
    Word("device type", "what a step needs", "Equipment Class"),
    Word("device", "the machine or station that does it, with slots", "Equipment"),
    Word("site", "the plant: every message, document and token belongs to one", "Site"),
    Word("shop floor", "people, devices and stations"),
)

INSIDE = (
    Word("ready task, ready queue", "a task that may be handed out; those of a device type, the best first"),
    Word("dispatch pass", "one decision: free slots and ready tasks become leases"),
    Word("wake-up", "the message that asks for a dispatch pass"),
    Word("assignment", "a task given to a device, as the device is told"),
    Word("lease", "for how long a device has a task; a heartbeat extends it"),
    Word("fence", "the number of a lease; grows with every lease of a task, so that an old report is known as old"),
    Word("fact", "one entry of the ledger: what counts, under which fence, said by whom"),
    Word("ledger", "all facts; it only grows, and every count can be made from it again"),
    Word("work in hand", "the orders and tasks that a batch of messages is about, and what becomes of them"),
    Word("batch", "records that are handled in one transaction"),
    Word("inbox, outbox", "which messages are applied; which messages are still to be published"),
    Word("dead letter", "a record that cannot be read or applied, kept with the reason"),
    Word("saga, step, undo", "a table of steps across services, each with a command, its answers and what undoes it"),
    Word("task key, execution key", "the typed ids: project/line/recipe/number, and the step behind it"),
    Word("lock", "who excludes whom, named after what is locked"),
    Word("warning", "what is odd beside the fact that a message tells; the fact counts all the same"),
)

HEAD = """\
# The words

One word for one thing, in code, messages and prose. The page is generated from `libs/devkit/words.py`.
"""


def page() -> str:
    parts = [HEAD]
    for title, words in (("Of the trade", TRADE), ("Inside", INSIDE)):
        rows = [f"| **{word.word}** | {word.meaning} | {word.elsewhere} |" for word in words]
        parts.append("\n".join([f"## {title}\n", "| word | means | elsewhere |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def main(arguments: Sequence[str]) -> int:
    return run("libs.devkit.words", arguments, lambda _: page())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
