"""What the live stream tells: which documents belong to which thing, and each thing as a GET shows it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from services.gateway.api.dead_letter_models import shown as shown_letter
from services.gateway.api.problems import ApiProblem
from services.gateway.api.showing import Showing, ShowingEquipment
from services.gateway.domain.changes import Kind, Thing
from services.gateway.domain.equipment import Part
from services.gateway.domain.telling import Shown
from services.gateway.live import Names, Render
from services.gateway.ports import DeadLetters, Equipment

DEVICES_AT_ONCE = 500


def names(equipment: Equipment) -> Mapping[str, Names]:
    """By collection: the things of which a document, given by its id, is a part."""

    def of(kind: Kind, place: int = 1) -> Names:
        async def found(id_: str) -> Iterable[Thing]:
            parts = id_.split("/")
            return [Thing(kind, parts[0], parts[place])]

        return found

    async def of_device_type(id_: str) -> Iterable[Thing]:
        """A hold of a device type shows on each of its devices."""
        site, device_type = id_.split("/")
        found: list[Thing] = []
        after: str | None = None
        while page := await equipment.devices(site, device_type, None, after, DEVICES_AT_ONCE):
            found += [Thing(Kind.DEVICE, site, device.device_id) for device in page]
            after = page[-1].device_id
        return found

    return {
        "projects": of(Kind.PROJECT),
        "staged": of(Kind.PROJECT, place=2),
        Part.DEVICE.value: of(Kind.DEVICE),
        Part.CALENDAR.value: of(Kind.DEVICE),
        Part.DEVICE_TYPE.value: of_device_type,
        "dead_letters": of(Kind.DEAD_LETTER),
    }


def render(showing: Showing, equipment: ShowingEquipment, letters: DeadLetters) -> Render:
    """A thing as a GET shows it, in the same bytes."""

    async def project(site: str, id_: str) -> Shown:
        shown = await showing.project(site, id_)
        return Shown(shown.model_dump_json().encode(), project_id=id_)

    async def device(site: str, id_: str) -> Shown:
        shown = await equipment.device(site, id_)
        return Shown(shown.model_dump_json().encode(), device_type=shown.device_type)

    async def dead_letter(site: str, id_: str) -> Shown | None:
        view = await letters.get(site, id_)
        return None if view is None else Shown(shown_letter(view).model_dump_json().encode())

    by_kind: dict[Kind, Callable[[str, str], Awaitable[Shown | None]]] = {
        Kind.PROJECT: project,
        Kind.DEVICE: device,
        Kind.DEAD_LETTER: dead_letter,
    }

    async def shown(thing: Thing) -> Shown | None:
        try:
            return await by_kind[thing.kind](thing.site, thing.id)
        except ApiProblem as problem:
            if problem.status_code == 404:
                return None
            raise

    return shown
