"""A small made-up saga: a cake in four steps, the last of which cannot fail and cannot be undone."""

from typing import Any

from libs.contracts.base import Message, Problem
from libs.contracts.topics import Topic
from libs.saga import Definition, Step

TOPIC = Topic("test.kitchen.v1", "cake", "projects", "events", 1)


class Cake(Message):
    """Its classes are not registered: they travel nowhere."""

    TOPIC = TOPIC
    KEY = "cake"
    cake: str = "sponge"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.TYPE = f"test.{cls.__name__.lower()}.v1"


class Buy(Cake): ...


class Bought(Cake):
    eggs: int = 4


class SoldOut(Cake):
    errors: tuple[Problem, ...] = (Problem(code="SOLD_OUT", path="eggs", message="no eggs"),)


class Mix(Cake):
    eggs: int


class Mixed(Cake): ...


class Spilled(Cake): ...


class Discard(Cake): ...


class Discarded(Cake): ...


class Bake(Cake): ...


class Baked(Cake): ...


class Burnt(Cake):
    errors: tuple[Problem, ...] = (Problem(code="BURNT", path="", message="black"),)


class Scrape(Cake): ...


class Scraped(Cake): ...


class Serve(Cake): ...


class Served(Cake): ...


CAKE = Definition(
    name="cake",
    version=3,
    ids=("cake",),
    steps=(
        Step(
            name="buy",
            waiting="BUYING",
            command=Buy,
            success=Bought,
            learns=lambda reply: {"eggs": reply.eggs},
            failure=SoldOut,
        ),
        Step(
            name="mix",
            waiting="MIXING",
            command=Mix,
            carries=lambda context: {"eggs": context["eggs"]},
            success=Mixed,
            failure=Spilled,
            undo=Discard,
            undone=Discarded,
            seconds=10,
        ),
        Step(
            name="bake",
            waiting="BAKING",
            command=Bake,
            success=Baked,
            failure=Burnt,
            undo=Scrape,
            undone=Scraped,
            seconds=60,
            tries=2,
        ),
        Step(
            name="serve",
            waiting="SERVING",
            command=Serve,
            success=Served,
            seconds=20.0,
        ),
    ),
)

CONTEXT = {"cake": "sponge"}
