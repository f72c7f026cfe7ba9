"""The rules of counting, written a second time and independently of the services; pure.

Produced = min over the recipes of floor(good executions ÷ quantity), over distinct executions;
tasks = executions × steps. Orders are expected to be complete. Where the numbers come from: `recount.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

CLOSED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""Task states in which nothing is left to do."""


@dataclass(frozen=True, slots=True)
class RecipePlan:
    """A recipe of a line: executions per unit, and its step numbers."""

    recipe_code: str
    quantity: int
    steps: frozenset[int]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the ERP was told of a line: at its activation what was planned, at its completion the rest."""

    executions_planned: int
    target_quantity: int
    produced_quantity: int
    executions_good: int
    executions_scrapped: int
    executions_in_work: int


@dataclass(frozen=True, slots=True)
class LinePlan:
    """One order line: what was asked for, and what was claimed (None: nothing was)."""

    order_id: str
    project_id: str
    line_id: str
    target: int
    recipes: tuple[RecipePlan, ...]
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What was counted, by a device or an operator; or that something of it holds no more."""

    project_id: str
    order_id: str
    line_id: str
    recipe_code: str
    execution: int
    step: int
    outcome: str
    ends_execution: bool
    id: str = ""
    fence: int = 0
    reverses: str | None = None
    """The entry that holds no more."""
    reopens: str | None = None
    """The entry that still holds, but does not end its execution any more."""
    voids: tuple[tuple[int, int], ...] = ()
    """Steps of the execution of which nothing up to a fence holds any more."""


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task as stored."""

    project_id: str
    line_id: str
    recipe_code: str
    execution: int
    step: int
    state: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two numbers that should agree and do not."""

    order_id: str
    line_id: str
    what: str
    expected: object
    found: object

    def __str__(self) -> str:
        expected, found = (
            f"{text[:200]}…" if len(text := str(one)) > 200 else text for one in (self.expected, self.found)
        )
        return f"order {self.order_id} line {self.line_id}: {self.what}: expected {expected}, found {found}"


@dataclass(frozen=True, slots=True)
class LineCount:
    """A line, counted again."""

    order_id: str
    line_id: str
    target: int
    produced: int
    good: int
    scrapped: int
    replacements: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Recount:
    """All lines, and everything that does not agree."""

    lines: tuple[LineCount, ...]
    mismatches: tuple[Mismatch, ...]

    @property
    def agrees(self) -> bool:
        return not self.mismatches


def recount(plans: Sequence[LinePlan], ledger: Iterable[LedgerEntry], tasks: Iterable[TaskEntry]) -> Recount:
    """Count each planned line again and hold it against its claim."""
    entries: dict[tuple[str, str], list[LedgerEntry]] = defaultdict(list)
    for entry in ledger:
        entries[entry.project_id, entry.line_id].append(entry)
    stored: dict[tuple[str, str], list[TaskEntry]] = defaultdict(list)
    for task in tasks:
        stored[task.project_id, task.line_id].append(task)
    lines, mismatches = [], []
    for plan in plans:
        key = (plan.project_id, plan.line_id)
        counter = _LineCounter(plan, entries.pop(key, []), stored.pop(key, []))
        lines.append(counter.count())
        mismatches += counter.mismatches
    for project_id, line_id in sorted({*entries, *stored}):
        mismatches.append(Mismatch(f"of project {project_id}", line_id, "was it ordered", "yes", "no"))
    return Recount(tuple(lines), tuple(mismatches))


def standing(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """The entries without those that others take back; one that ends nothing any more stays, and says so."""
    reversed_ = {entry.reverses for entry in entries} - {None}
    reopened = {entry.reopens for entry in entries} - {None}
    void: dict[tuple[int, int], int] = {}
    for entry in entries:
        for step, fence in entry.voids:
            void[entry.execution, step] = max(fence, void.get((entry.execution, step), 0))
    return [
        replace(entry, ends_execution=False) if entry.id in reopened else entry
        for entry in entries
        if entry.id not in reversed_ and not 0 < entry.fence <= void.get((entry.execution, entry.step), 0)
    ]


class _LineCounter:
    """Counts one line; what does not agree is collected in `mismatches`."""

    def __init__(self, plan: LinePlan, ledger: Sequence[LedgerEntry], tasks: Sequence[TaskEntry]) -> None:
        self.plan = plan
        self.ledger = ledger
        self.tasks = tasks
        self.mismatches: list[Mismatch] = []

    def count(self) -> LineCount:
        counts = [self._recipe(recipe) for recipe in self.plan.recipes]
        produced = min(good // recipe.quantity for recipe, (good, _, _) in zip(self.plan.recipes, counts, strict=True))
        line = LineCount(
            self.plan.order_id,
            self.plan.line_id,
            self.plan.target,
            produced,
            good=sum(good for good, _, _ in counts),
            scrapped=sum(scrapped for _, scrapped, _ in counts),
            replacements=sum(replacements for _, _, replacements in counts),
            tasks=len(self.tasks),
        )
        self._strangers()
        self._same("produced", self.plan.target, produced)
        self._claims(line)
        return line

    def _recipe(self, recipe: RecipePlan) -> tuple[int, int, int]:
        """Good, scrapped and replaced executions of one recipe."""
        code = recipe.recipe_code
        entries = standing([entry for entry in self.ledger if entry.recipe_code == code])
        withdrawn = {entry.execution for entry in entries if entry.outcome == "WITHDRAWN"}
        done: dict[int, Counter[int]] = defaultdict(Counter)
        for entry in entries:
            if entry.outcome in ("GOOD", "SCRAP"):
                done[entry.execution][entry.step] += 1
        scrapped = {
            entry.execution
            for entry in entries
            if entry.outcome == "SCRAP" or (entry.outcome == "FAILED" and entry.ends_execution)
        }
        good = {number for number, steps in done.items() if set(steps) == recipe.steps} - scrapped
        self._same(f"{code}: executions that are both withdrawn and ended", [], sorted(withdrawn & (good | scrapped)))
        ended = [entry.execution for entry in entries if entry.outcome == "GOOD" and entry.ends_execution]
        twice = sorted((number, step) for number, steps in done.items() for step, n in steps.items() if n > 1)
        self._same(f"{code}: steps counted twice (execution, step)", [], twice)
        self._same(f"{code}: executions that the ledger says ended well, each once", sorted(good), sorted(ended))
        self._same(f"{code}: good executions", self.plan.target * recipe.quantity, len(good))
        self._tasks(recipe, good, scrapped | withdrawn, done)
        numbers = {task.execution for task in self.tasks if task.recipe_code == code}
        return len(good), len(scrapped), len(numbers - set(range(1, self.plan.target * recipe.quantity + 1)))

    def _tasks(self, recipe: RecipePlan, good: set[int], lost: set[int], done: Mapping[int, Mapping[int, int]]) -> None:
        """Of a good execution every step, each once; of a lost one no step twice and none open; of others none."""
        code = recipe.recipe_code
        found = Counter((task.execution, task.step) for task in self.tasks if task.recipe_code == code)
        states = {(task.execution, task.step): task.state for task in self.tasks if task.recipe_code == code}
        planned = range(1, self.plan.target * recipe.quantity + len(lost) + 1)
        self._same(f"{code}: executions with tasks", sorted(planned), sorted({number for number, _ in found}))
        wanted = {(number, step) for number in good for step in recipe.steps}
        allowed = wanted | {(number, step) for number in lost for step in recipe.steps}
        self._same(f"{code}: tasks missing (execution, step)", [], sorted(wanted - set(found)))
        self._same(f"{code}: tasks too many (execution, step)", [], sorted(set(found) - allowed))
        self._same(f"{code}: tasks stored twice", [], sorted(key for key, n in found.items() if n > 1))
        undone = [key for key in sorted(wanted & set(states)) if states[key] != "COMPLETED"]
        self._same(f"{code}: tasks of good executions not COMPLETED", [], undone)
        left_open = [key for key, state in sorted(states.items()) if state not in CLOSED]
        self._same(f"{code}: tasks still open", [], left_open)
        reported = {(number, step) for number, steps in done.items() for step in steps}
        self._same(f"{code}: reports counted without a task", [], sorted(reported - set(found)))

    def _strangers(self) -> None:
        """Nothing may be there that is of no recipe of the line, or of another order."""
        known = {recipe.recipe_code for recipe in self.plan.recipes}
        others = ({entry.recipe_code for entry in self.ledger} | {task.recipe_code for task in self.tasks}) - known
        self._same("recipes that are not the line's", [], sorted(others))
        orders = {entry.order_id for entry in self.ledger} - {self.plan.order_id}
        self._same("ledger entries of the project under another order", [], sorted(orders))

    def _claims(self, line: LineCount) -> None:
        claim = self.plan.claim
        if claim is None:
            self._same("completed, as the ERP was told", "yes", "no")
            return
        planned = sum(self.plan.target * recipe.quantity for recipe in self.plan.recipes)
        self._same("executions planned, as the ERP was told", planned, claim.executions_planned)
        self._same("target, as the ERP was told", self.plan.target, claim.target_quantity)
        self._same("produced, as the ERP was told", line.produced, claim.produced_quantity)
        self._same("good executions, as the ERP was told", line.good, claim.executions_good)
        self._same("scrapped executions, as the ERP was told", line.scrapped, claim.executions_scrapped)
        self._same("executions in work, as the ERP was told", 0, claim.executions_in_work)

    def _same(self, what: str, expected: object, found: object) -> None:
        if expected != found:
            self.mismatches.append(Mismatch(self.plan.order_id, self.plan.line_id, what, expected, found))
