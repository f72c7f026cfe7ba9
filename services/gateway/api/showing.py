"""One project as it is shown, put together from the read models."""

from services.gateway.api import PREFIX
from services.gateway.api.models import ShownActivation, ShownProject
from services.gateway.api.problems import single
from services.gateway.domain.activation import staging
from services.gateway.domain.projects import ProjectView, Rebase
from services.gateway.ports import Projects, Staged


def location_of(project_id: str) -> str:
    return f"{PREFIX}/projects/{project_id}"


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
        view = await self.known(site, project_id)
        activation = None
        if view.activation is not None:
            told = staging(view.activation.activation_id, await self._staged.get(site, project_id))
            activation = ShownActivation(**view.activation.model_dump(), **told.model_dump())
        rebases = tuple(Rebase.model_validate(each.model_dump()) for each in view.rebases)
        return ShownProject(**view.project.model_dump(), activation=activation, rebases=rebases)
