"""Task ids, as far as a gateway looks into them."""

import re

from libs.contracts.keys import TaskKey

LONGEST_TASK_ID = 400

_CODE = re.compile("[A-Za-z0-9._-]{1,64}")
_PROJECT_ID = re.compile("[A-Za-z0-9._-]{1,100}")


def project_of(task_id: str) -> str | None:
    """The id of its project; None when no task can have this id."""
    key = TaskKey.parse(task_id) if len(task_id) <= LONGEST_TASK_ID else None
    if key is None or str(key) != task_id or key.step < 1:
        return None
    project_id, line_id, recipe_code, number = key.execution
    codes = _CODE.fullmatch(line_id) and _CODE.fullmatch(recipe_code) and _PROJECT_ID.fullmatch(project_id)
    return project_id if codes and number >= 1 else None
