"""Settings of the gateway."""

from typing import Annotated

from pydantic import AfterValidator, Field

from libs.kernel.settings import Settings
from services.gateway.domain.targets import Targets


def _readable(text: str) -> str:
    Targets.parse(text)
    return text


class GatewaySettings(Settings):
    webhook_targets: Annotated[str, AfterValidator(_readable)] = Field(
        "",
        description="The hosts to which webhooks may go, separated by commas, e.g. hooks.example.com, *.example.org;"
        " * is any host with a public address. Private addresses only where an address or a network is named too,"
        " e.g. 10.1.0.0/16. Nothing is told outside as long as there is none.",
    )
