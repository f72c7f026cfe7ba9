"""Mutation score: a line a module from what `mutmut results --all true` prints; fails below the wanted share.

A mutant is a copy of a rule with one small change, such as `<` for `<=`. The tests kill it when one of them fails, or
when it runs into an endless loop. One that survives, or that no test reaches, shows what no test asserts, unless it
does the same as the original.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

WANTED = 0.85
"""Killed mutants of a module, as a share of all."""

KILLED = frozenset({"killed", "timeout", "caught by type check"})
NOT_RUN = "not checked"

_RESULT = re.compile(r"\s*(?P<module>[\w.]+)\.x\S*__mutmut_\d+: (?P<status>.+)")


def by_module(results: Iterable[str]) -> dict[str, Counter[str]]:
    """How many mutants of each module had each status; modules of which none ran are left out."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for line in results:
        if result := _RESULT.fullmatch(line.rstrip()):
            found[result["module"]][result["status"]] += 1
    return {module: counts for module, counts in sorted(found.items()) if set(counts) != {NOT_RUN}}


def killed(counts: Counter[str]) -> int:
    return sum(counts[status] for status in KILLED)


def main() -> int:
    modules = by_module(sys.stdin)
    for module, counts in modules.items():
        others = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if status not in KILLED)
        share = killed(counts) / counts.total()
        sys.stdout.write(f"{share:7.1%} of {counts.total():4} {module:52} {others}\n")
    low = [module for module, counts in modules.items() if killed(counts) < WANTED * counts.total()]
    if low:
        sys.stdout.write(f"below {WANTED:.0%}: {', '.join(low)}\n")
    return bool(low) or not modules


if __name__ == "__main__":
    sys.exit(main())
