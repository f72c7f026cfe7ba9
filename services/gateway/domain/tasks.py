"""Task ids, as far as a gateway looks into them."""

import re

_CODE = "[A-Za-z0-9._-]"
_TASK_ID = re.compile(rf"({_CODE}{{1,100}})/{_CODE}{{1,64}}/{_CODE}{{1,64}}/[1-9][0-9]*/[1-9][0-9]*")
"""project/line/recipe/execution/step."""

LONGEST_TASK_ID = 400


def project_of(task_id: str) -> str | None:
    """The id of its project; None when no task can have this id."""
    found = _TASK_ID.fullmatch(task_id) if len(task_id) <= LONGEST_TASK_ID else None
    return found[1] if found else None
