"""An order that cannot be made as it stands: the ERP reads all that is wrong at once, and nothing of it is left."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts import catalog, devices, erp, execution, projects
from libs.contracts.base import Message, Problem
from libs.kernel.clock import utc_now
from libs.kernel.ids import project_id_of
from tests.leftovers import Leftovers
from tests.stage import Stage, stage

LARGEST = 2**53 - 1
"""The largest number that the contracts allow anywhere."""


class Shop:
    """A stage with a catalog, one order a time, and what the ERP was told of it."""

    def __init__(self, stage: Stage, leftovers: Leftovers) -> None:
        self.stage = stage
        self._leftovers = leftovers
        self._numbers = 0

    async def publish(self, *messages: Message, site: str = "main") -> list[tuple[str, str]]:
        """The errors of what was rejected."""
        before = len(self.stage.all(catalog.PublicationRejected))
        self.stage.put(*messages, site=site)
        await self.stage.run()
        rejections = self.stage.all(catalog.PublicationRejected)[before:]
        return [pair for rejected in rejections for pair in pairs(rejected.errors)]

    async def order(self, *lines: dict[str, Any], site: str = "main", **more: Any) -> Any:
        """How the activation of a new order ended, as the ERP reads it."""
        self._numbers += 1
        order_id = f"A-{self._numbers}"
        self._order_id, self._site = order_id, site
        numbered = [{"line_id": str(10 * number), "quantity": 2, **line} for number, line in enumerate(lines, 1)]
        order = {"order_id": order_id, "revision": 1, "lines": numbered, **more}
        self.stage.put(erp.OrderRequested.model_validate(order), site=site)
        return await self.ended()

    async def ended(self) -> Any:
        """The end of the newest activation of the newest order."""
        await self.stage.run()
        *_, end = [
            each.message
            for each in self.stage.said
            if isinstance(each.message, erp.OrderActivated | erp.OrderActivationFailed)
            and each.message.order_id == self._order_id
        ]
        return end

    async def again(self) -> Any:
        """An operator activates the newest order once more."""
        self.stage.put(projects.ActivateProject(project_id=self.project_id), site=self._site)
        return await self.ended()

    @property
    def project_id(self) -> str:
        return project_id_of(self._site, self._order_id)

    async def failed(self, step: str, *lines: dict[str, Any], site: str = "main", **more: Any) -> list[tuple[str, str]]:
        """The errors of an order that cannot be activated; nothing of it is left."""
        end = await self.order(*lines, site=site, **more)
        assert isinstance(end, erp.OrderActivationFailed), end
        assert (end.step, end.compensated) == (step, True)
        assert self._leftovers.of(self.project_id) == []
        return pairs(end.errors)


Open = Callable[..., AbstractAsyncContextManager[Shop]]


def pairs(problems: Sequence[Problem]) -> list[tuple[str, str]]:
    assert all(problem.message for problem in problems)
    return [(problem.code, problem.path) for problem in problems]


def recipe(code: str, *types: str, **more: Any) -> catalog.PublishRecipe:
    steps = [
        {"step": number, "name": f"{device_type} it", "device_type": device_type, "expected_seconds": 1}
        for number, device_type in enumerate(types or ("press",), 1)
    ]
    return catalog.PublishRecipe.model_validate({"recipe_code": code, "name": code, "steps": steps, **more})


def product(code: str, recipes: dict[str, int], **more: Any) -> catalog.PublishProduct:
    listed = [{"recipe_code": recipe_code, "quantity": quantity} for recipe_code, quantity in recipes.items()]
    return catalog.PublishProduct.model_validate({"product_code": code, "name": code, "recipes": listed, **more})


def device(device_type: str, device_id: str = "") -> devices.DeviceOnline:
    return devices.DeviceOnline(device_id=device_id or f"{device_type}-1", device_type=device_type)


def master_data() -> list[Message]:
    """A lamp takes two bells (pressed and polished) and a foot (turned)."""
    return [
        *(catalog.PublishDeviceType(device_type=name, name=name) for name in ("press", "polisher", "lathe")),
        recipe("BELL", "press", "polisher"),
        recipe("FOOT", "lathe"),
        product("LAMP", {"BELL": 2, "FOOT": 1}),
    ]


@pytest.fixture
def open_shop(kafka: str, mongodb: str, redis: str, namespace: str) -> Open:
    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Shop]:
        async with stage(kafka, mongodb, redis, namespace, **settings) as built:
            leftovers = Leftovers(mongodb, namespace)
            shop = Shop(built, leftovers)
            assert await shop.publish(*master_data()) == []
            yield shop
            leftovers.close()

    return opened


async def test_everything_that_the_catalog_knows_is_told_at_once(open_shop: Open) -> None:
    async with open_shop() as shop:
        odd = [recipe("GONE"), recipe("PICKY"), product("OLD", {"BELL": 1}), product("MIXED", {"GONE": 1, "PICKY": 1})]
        retired = [catalog.RetireRecipe(recipe_code="GONE"), catalog.RetireProduct(product_code="OLD")]
        assert await shop.publish(*odd, *retired, recipe("PICKY", allowed_products=["LAMP"])) == []
        # As after a restore from an old backup: what a recipe was published with is not there any more.
        await shop.stage.database("catalog")["definitions"].delete_one({"kind": "device-type", "code": "polisher"})
        lines = [{"product_code": code} for code in ("NONE", "OLD", "MIXED", "LAMP")]
        lines += [{"recipe_code": code} for code in ("NEVER", "GONE", "BELL")]
        assert await shop.failed("resolve", *lines) == [
            ("UNKNOWN_PRODUCT", "lines[0].product_code"),
            ("RETIRED_PRODUCT", "lines[1].product_code"),
            ("RETIRED_RECIPE", "lines[2].product_code"),
            ("PRODUCT_NOT_ALLOWED", "lines[2].product_code"),
            ("UNKNOWN_DEVICE_TYPE", "lines[3].recipes[BELL].steps[2].device_type"),
            ("UNKNOWN_RECIPE", "lines[4].recipe_code"),
            ("RETIRED_RECIPE", "lines[5].recipe_code"),
            ("UNKNOWN_DEVICE_TYPE", "lines[6].recipes[BELL].steps[2].device_type"),
        ]


async def test_a_recipe_and_a_product_have_to_allow_each_other(open_shop: Open) -> None:
    async with open_shop() as shop:
        assert await shop.publish(
            recipe("SHADE", allowed_products=["TORCH", "LAMP"]),
            product("TORCH", {"SHADE": 1}, allowed_recipes=["BELL"]),
        ) == [("RECIPE_NOT_ALLOWED", "recipes[0].recipe_code")]
        assert await shop.publish(product("TORCH", {"SHADE": 1, "BELL": 1}, allowed_recipes=["SHADE", "BELL"])) == []
        assert await shop.publish(product("CANDLE", {"BELL": 1, "SHADE": 1}, allowed_recipes=["SHADE"])) == [
            ("RECIPE_NOT_ALLOWED", "recipes[0].recipe_code"),
            ("PRODUCT_NOT_ALLOWED", "recipes[1].recipe_code"),
        ]
        assert isinstance(await shop.order({"product_code": "TORCH"}), erp.OrderActivated)
        # The recipe's planner changes their mind: orders that are released go on, new ones are told.
        assert await shop.publish(recipe("SHADE", allowed_products=[])) == []
        torch = [("PRODUCT_NOT_ALLOWED", "lines[0].product_code")]
        assert await shop.failed("resolve", {"product_code": "TORCH"}) == torch
        assert isinstance(await shop.order({"recipe_code": "SHADE"}), erp.OrderActivated), "on its own it may be made"
        assert await shop.publish(recipe("SHADE")) == []
        assert isinstance(await shop.order({"product_code": "TORCH"}), erp.OrderActivated)


async def test_steps_that_no_device_can_do_are_warned_of(open_shop: Open) -> None:
    async with open_shop() as shop:
        shop.stage.put(device("press"))
        shop.stage.put(device("polisher"), site="north")
        activated = await shop.order({"recipe_code": "FOOT"}, {"product_code": "LAMP"})
        assert isinstance(activated, erp.OrderActivated)
        assert pairs(activated.warnings) == [
            ("NO_DEVICE", "lines[0].recipes[FOOT].steps[1].device_type"),
            ("NO_DEVICE", "lines[1].recipes[BELL].steps[2].device_type"),
            ("NO_DEVICE", "lines[1].recipes[FOOT].steps[1].device_type"),
        ]
        assert "line 20, recipe BELL, step 2 (polisher it)" in activated.warnings[1].message
        # A device that is registered counts in whatever state it is: it will come back.
        shop.stage.put(device("lathe"), device("polisher"))
        shop.stage.put(devices.DeviceStateChanged(device_id="lathe-1", state=devices.DeviceState.DOWN))
        assert (await shop.order({"product_code": "LAMP"})).warnings == ()


async def test_a_strict_site_refuses_them_until_there_is_a_device(open_shop: Open) -> None:
    async with open_shop(no_device="refuse") as shop:
        shop.stage.put(device("press"))
        lathe = ("NO_DEVICE", "lines[0].recipes[FOOT].steps[1].device_type")
        polisher = ("NO_DEVICE", "lines[0].recipes[BELL].steps[2].device_type")
        assert await shop.failed("admit", {"product_code": "LAMP"}) == [polisher, lathe]
        shop.stage.put(device("lathe"))
        assert pairs((await shop.again()).errors) == [polisher]
        shop.stage.put(device("polisher"))
        activated = await shop.again()
        assert isinstance(activated, erp.OrderActivated)
        assert activated.warnings == ()


async def test_a_site_has_its_own_policy(open_shop: Open) -> None:
    own = {"north": {"no_device": "refuse", "max_executions": 5}, "south": {"max_executions": 7}}
    async with open_shop(site_policies=own, max_executions=6) as shop:
        for site in ("north", "south"):
            assert await shop.publish(*master_data(), site=site) == []
        small, large = {"product_code": "LAMP", "quantity": 2}, {"recipe_code": "FOOT", "quantity": 7}
        too_many = ("TOO_MANY_EXECUTIONS", "lines[1].quantity")
        assert await shop.failed("admit", small, large) == [too_many]
        assert len((await shop.order(small, large, site="south")).warnings) == 4
        assert await shop.failed("admit", large, small, site="north") == [
            ("TOO_MANY_EXECUTIONS", "lines[0].quantity"),
            too_many,
            ("NO_DEVICE", "lines[0].recipes[FOOT].steps[1].device_type"),
            ("NO_DEVICE", "lines[1].recipes[BELL].steps[1].device_type"),
            ("NO_DEVICE", "lines[1].recipes[BELL].steps[2].device_type"),
            ("NO_DEVICE", "lines[1].recipes[FOOT].steps[1].device_type"),
        ]


async def test_a_released_order_cannot_grow_beyond_what_its_site_allows(open_shop: Open) -> None:
    async with open_shop(site_policies={"north": {"max_executions": 5}}) as shop:
        assert await shop.publish(*master_data(), site="north") == []
        assert isinstance(await shop.order({"recipe_code": "FOOT"}, site="north"), erp.OrderActivated)
        for quantity in (6, LARGEST):
            target = erp.LineTarget(line_id="10", quantity=quantity)
            shop.stage.put(projects.ChangeProject(project_id=shop.project_id, lines=[target]), site="north")
        await shop.stage.run()
        refused = [pairs(each.errors) for each in shop.stage.all(projects.CommandRefused)]
        assert refused == [[("TOO_MANY_EXECUTIONS", "lines[0].quantity")]] * 2
        assert shop.stage.all(execution.WorkOrderChanged) == []


async def test_numbers_that_no_database_holds_end_in_an_answer(open_shop: Open) -> None:
    """Target × quantity goes up to 2^106; whatever becomes of it, nobody writes it down."""
    async with open_shop() as shop:
        assert (
            await shop.publish(
                product("HUGE", {"BELL": LARGEST, "FOOT": LARGEST}), product("WIDE", {"BELL": LARGEST, "FOOT": 1})
            )
            == []
        )
        both = {"product_code": "HUGE", "quantity": LARGEST}
        assert await shop.failed("resolve", both) == [("TOO_MANY", "lines[0].quantity")] * 2
        wide = {"product_code": "WIDE", "quantity": 1}
        lines = [wide, {"recipe_code": "BELL", "quantity": LARGEST}]
        assert await shop.failed("admit", *lines) == [
            ("TOO_MANY_EXECUTIONS", f"lines[{index}].quantity") for index in range(2)
        ]
        assert await shop.failed("resolve", wide | {"quantity": 2}) == [("TOO_MANY", "lines[0].quantity")]


@pytest.mark.parametrize("late", [True, False])
async def test_a_deadline_that_has_passed_is_warned_of(open_shop: Open, late: bool) -> None:
    async with open_shop() as shop:
        shop.stage.put(device("lathe"))
        deadline = datetime(2020, 2, 29, tzinfo=UTC) if late else utc_now() + timedelta(days=1)
        activated = await shop.order({"recipe_code": "FOOT"}, deadline=deadline)
        assert isinstance(activated, erp.OrderActivated)
        assert pairs(activated.warnings) == ([("DEADLINE_PASSED", "deadline")] if late else [])


async def test_the_project_s_warnings_stand_before_those_of_execution(open_shop: Open) -> None:
    async with open_shop() as shop:
        activated = await shop.order({"recipe_code": "FOOT"}, deadline=datetime(2020, 2, 29, tzinfo=UTC))
        assert [warning.code for warning in activated.warnings] == ["DEADLINE_PASSED", "NO_DEVICE"]
