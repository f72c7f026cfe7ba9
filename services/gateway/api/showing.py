"""One project or device as it is shown, put together from the read models."""

from services.gateway.api import PREFIX
from services.gateway.api.models import ShownActivation, ShownDevice, ShownProject
from services.gateway.api.problems import single
from services.gateway.domain.activation import staging
from services.gateway.domain.equipment import Booking, Device
from services.gateway.domain.projects import ProjectView, Rebase
from services.gateway.ports import Equipment, Projects, Staged


def location_of(project_id: str) -> str:
    return f"{PREFIX}/projects/{project_id}"


def location_of_device(device_id: str) -> str:
    return f"{PREFIX}/devices/{device_id}"


class Showing:
    """Looks projects up; one that the site does not have is the client's problem."""

    def __init__(self, projects: Projects, staged: Staged) -> None:
        self._projects = projects
        self._staged = staged

    async def known(self, site: str, project_id: str) -> ProjectView:
        view = await self._projects.get(site, project_id)
        if view is None:
            raise single(404, "UNKNOWN_PROJECT", "path.project_id", f"there is no project {project_id[:80]!r}")
        return view

    async def project(self, site: str, project_id: str) -> ShownProject:
        return await self.show(await self.known(site, project_id))

    async def show(self, view: ProjectView) -> ShownProject:
        activation = None
        if view.activation is not None:
            told = staging(view.activation.activation_id, await self._staged.get(*view.key))
            activation = ShownActivation(**view.activation.model_dump(), **told.model_dump())
        rebases = tuple(Rebase.model_validate(each.model_dump()) for each in view.rebases)
        return ShownProject(**view.project.model_dump(), activation=activation, rebases=rebases)


class ShowingEquipment:
    """Looks devices and their reservations up, in the same way."""

    def __init__(self, equipment: Equipment) -> None:
        self.equipment = equipment

    async def known(self, site: str, device_id: str) -> Device:
        device = await self.equipment.device(site, device_id)
        if device is None:
            raise single(404, "UNKNOWN_DEVICE", "path.device_id", f"there is no device {device_id[:64]!r}")
        return device

    async def device(self, site: str, device_id: str) -> ShownDevice:
        device = await self.known(site, device_id)
        hold = await self.equipment.type_hold(site, device.device_type)
        calendar = await self.equipment.calendar(site, device_id)
        return ShownDevice(
            **device.model_dump(),
            device_type_held=hold.held if hold else None,
            calendar=calendar.calendar if calendar else None,
        )

    async def reservation(self, site: str, device_id: str, reservation_id: str) -> Booking:
        await self.known(site, device_id)
        booking = await self.equipment.reservation(site, device_id, reservation_id)
        if booking is None:
            text = f"device {device_id} has no reservation {reservation_id[:64]!r}"
            raise single(404, "UNKNOWN_RESERVATION", "path.reservation_id", text)
        return booking
