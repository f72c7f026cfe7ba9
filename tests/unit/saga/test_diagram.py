"""The picture of a saga is its table."""

from libs.saga.diagram import mermaid
from tests.unit.saga.bakery import CAKE


def test_every_answer_is_an_arrow() -> None:
    assert (
        mermaid(CAKE)
        == """\
stateDiagram-v2
    [*] --> BUYING
    BUYING --> MIXING: Bought
    BUYING --> PLANNING: SoldOut
    BUYING --> PLANNING: no answer, cancelled
    MIXING --> BAKING: Mixed
    MIXING --> PLANNING: Spilled
    MIXING --> UNDO_MIX: no answer, cancelled
    BAKING --> SERVING: Baked
    BAKING --> UNDO_MIX: Burnt
    BAKING --> UNDO_BAKE: no answer, cancelled
    SERVING --> ACTIVE: Served
    UNDO_BAKE --> UNDO_MIX: Scraped
    UNDO_BAKE --> STUCK: no answer to the undo
    UNDO_MIX --> PLANNING: Discarded
    UNDO_MIX --> STUCK: no answer to the undo
    ACTIVE --> [*]
    PLANNING --> [*]
"""
    )
