"""Device types, recipes and products: the same routes three times, from one table."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body
from pydantic import BaseModel
from starlette.responses import Response

from libs.contracts.catalog import PublishDeviceType, PublishProduct, PublishRecipe, RetireProduct, RetireRecipe
from services.gateway.api import PREFIX, answers, examples, models
from services.gateway.api.caller import Asks
from services.gateway.api.lists import Cursor, Limit, cut, position_of
from services.gateway.api.posting import Posted
from services.gateway.api.problems import single
from services.gateway.api.reading import JsonRoute
from services.gateway.commands import Command, Commands
from services.gateway.domain.catalog import Item, Key, Kind, Version
from services.gateway.domain.outcomes import Result
from services.gateway.ports import ReadModels


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of master data: where it stands, what it is published and retired with, and what is answered."""

    path: str
    kind: Kind
    code: str
    publish: type[PublishDeviceType | PublishRecipe | PublishProduct]
    retire: type[RetireRecipe | RetireProduct] | None
    item: type[BaseModel]
    version: type[BaseModel]
    detail: type[BaseModel]
    page: type[BaseModel]
    example: dict[str, Any]

    @property
    def tag(self) -> str:
        return self.path.replace("-", " ")

    @property
    def noun(self) -> str:
        return self.kind.replace("-", " ")

    def location(self, code: str) -> str:
        return f"{PREFIX}/{self.path}/{code}"

    def as_item(self, item: Item) -> BaseModel:
        return self.item.model_validate(self._fields(item))

    def as_version(self, version: Version) -> BaseModel:
        return self.version.model_validate(self._version_fields(version))

    def as_detail(self, item: Item, versions: list[Version], more: dict[str, Any]) -> BaseModel:
        return self.detail.model_validate(
            self._fields(item) | more | {"versions": [self._version_fields(each) for each in versions]}
        )

    def _fields(self, item: Item) -> dict[str, Any]:
        return item.model_dump() | {self.code: item.code}

    def _version_fields(self, version: Version) -> dict[str, Any]:
        return version.content | version.model_dump(exclude={"content"}) | {self.code: version.code}


RESOURCES = (
    Resource(
        "device-types",
        Kind.DEVICE_TYPE,
        "device_type",
        PublishDeviceType,
        None,
        models.DeviceTypeItem,
        models.DeviceTypeVersion,
        models.DeviceType,
        models.DeviceTypes,
        examples.DEVICE_TYPE,
    ),
    Resource(
        "recipes",
        Kind.RECIPE,
        "recipe_code",
        PublishRecipe,
        RetireRecipe,
        models.RecipeItem,
        models.RecipeVersion,
        models.Recipe,
        models.Recipes,
        examples.RECIPE,
    ),
    Resource(
        "products",
        Kind.PRODUCT,
        "product_code",
        PublishProduct,
        RetireProduct,
        models.ProductItem,
        models.ProductVersion,
        models.Product,
        models.Products,
        examples.PRODUCT,
    ),
)


def catalog_router(resource: Resource, read: ReadModels, commands: Commands) -> APIRouter:
    """The routes of one kind of master data."""
    catalog = read.catalog
    router = APIRouter(prefix=f"/{resource.path}", tags=[resource.tag], route_class=JsonRoute)
    name = resource.noun

    async def known(site: str, code: str) -> Item:
        item = await catalog.get(Key(site, resource.kind, code))
        if item is None:
            raise single(404, "UNKNOWN", f"path.{resource.code}", f"there is no {name} {code[:64]!r}")
        return item

    @router.post(
        "",
        name=f"publish {name}",
        summary=f"Publish a {name}",
        status_code=202,
        response_model=models.Accepted,
        responses=answers.COMMANDING
        | answers.WITH_BODY
        | answers.outcome(200, resource.version, "The content is in force already: no new version.")
        | answers.outcome(201, resource.version, "A new version is published."),
    )
    async def publish(
        posting: Posted,
        command: Annotated[resource.publish, Body(openapi_examples={name: {"value": resource.example}})],  # type: ignore[name-defined]
    ) -> Response:
        """Changed content makes a new version; equal content makes none."""
        key = Key(posting.asked.site, resource.kind, command.key)
        location = resource.location(key.code)
        wanted = Command(lambda _: command, lambda _: location, (Result.REFUSED, Result.TAKEN))
        carried = await posting.carry_out(commands, wanted)
        outcome = carried.outcome
        if outcome is not None and outcome.result is Result.REFUSED:
            raise carried.problem(422, f"the {name} was not published")
        published = None
        if outcome is not None and outcome.version is not None:
            published = await catalog.version(key, outcome.version)
        if outcome is None or published is None:
            return carried.accepted()
        return carried.answer(201 if outcome.created else 200, resource.as_version(published))

    @router.get("", name=f"list {name}s", summary=f"List {name}s by code", response_model=resource.page)
    async def list_page(caller: Asks, limit: Limit = 50, cursor: Cursor = None) -> BaseModel:
        """The newest version of each, without its content."""
        after = position_of(cursor, 1)
        found = await catalog.page(caller.site, resource.kind, after[0] if after else None, limit + 1)
        items, following = cut(found, limit, lambda item: (item.code,))
        return resource.page.model_validate({"items": [resource.as_item(each) for each in items], "next": following})

    @router.get(
        "/{code}",
        name=f"get {name}",
        summary=f"Show a {name}",
        response_model=resource.detail,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, code: str) -> BaseModel:
        """All its versions, the newest first."""
        item = await known(caller.site, code)
        hold = await read.equipment.type_hold(caller.site, code) if resource.kind is Kind.DEVICE_TYPE else None
        more = {"held": hold.held} if hold else {}
        return resource.as_detail(item, list(await catalog.versions(item.key)), more)

    if resource.retire is not None:
        retire = resource.retire

        @router.post(
            "/{code}/retire",
            name=f"retire {name}",
            summary=f"Retire a {name}",
            status_code=202,
            response_model=models.Accepted,
            responses=answers.COMMANDING
            | answers.problems(404)
            | answers.outcome(200, resource.item, "It is retired."),
        )
        async def retire_one(posting: Posted, code: str) -> Response:
            """New orders can no longer use it; released ones go on with their snapshots."""
            key = (await known(posting.asked.site, code)).key
            location = resource.location(code)
            message = retire.model_validate({resource.code: code})
            wanted = Command(lambda _: message, lambda _: location, (Result.REFUSED, Result.TAKEN))
            carried = await posting.carry_out(commands, wanted)
            if carried.outcome is None:
                return carried.accepted()
            if carried.outcome.result is Result.REFUSED:
                raise carried.problem(422, f"the {name} was not retired")
            return carried.answer(200, resource.as_item(await known(key.site, code)))

    return router
