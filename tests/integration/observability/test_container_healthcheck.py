"""The image's HEALTHCHECK, run as Docker would run it, against the health routes of a process."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from starlette.applications import Starlette

from libs.observability.health import Health
from libs.observability.http import routes, serve
from libs.observability.metrics import Metrics

DOCKERFILE = Path(__file__).parents[3] / "deploy" / "Dockerfile"


async def healthcheck(port: int) -> int:
    """The exit code: 0 for healthy, 1 for not."""
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found
    program, *arguments = json.loads(found[1])
    assert program == "python"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env=os.environ | {"FACTORY_HTTP_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(process.wait(), 20)


async def test_healthy_is_ready_and_nothing_else() -> None:
    health, away = Health(cache_seconds=0), True

    async def check() -> str:
        if away:
            raise ConnectionError("away")
        return "fine"

    health.add("mongodb", check)
    async with serve(Starlette(routes=routes(health, Metrics("projects"))), "127.0.0.1", 0) as address:
        assert await healthcheck(address.port) == 1
        away = False
        assert await healthcheck(address.port) == 0

    assert await healthcheck(address.port) == 1
