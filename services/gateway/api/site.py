"""Whose data a request is about."""

from typing import Annotated

from fastapi import Depends, Header

from libs.contracts.base import Code
from libs.contracts.envelope import DEFAULT_SITE


def _site(
    site: Annotated[
        Code, Header(alias="X-Site", description="the site that the request is about", examples=[DEFAULT_SITE])
    ] = DEFAULT_SITE,
) -> str:
    return site


SiteHeader = Annotated[str, Depends(_site)]
