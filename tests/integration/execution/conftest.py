"""The execution service's handlers on the real database, with two saws and a press registered."""

from collections.abc import AsyncIterator

import pytest

from libs.contracts.devices import DeviceOnline
from libs.runtime.service import Service
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, handling


@pytest.fixture
def dispatch_at_once() -> bool:
    """Most tests say when a dispatch pass is made."""
    return False


@pytest.fixture
def service(mongodb: str, namespace: str, dispatch_at_once: bool) -> Service:
    return build(ExecutionSettings(mongodb=mongodb, namespace=namespace, dispatch_at_once=dispatch_at_once))


@pytest.fixture
async def kernel(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        await kernel.give(
            *(
                DeviceOnline(device_id=device_id, device_type=device_type)
                for device_id, device_type in (("saw-1", "saw"), ("saw-2", "saw"), ("press-1", "press"))
            )
        )
        yield kernel
