from libs.contracts import topics
from libs.contracts.catalog import *
from libs.kernel.settings import Settings
from services.catalog.app import build
from tests.harness import running
async def test_c(kafka, mongodb, namespace):
    service = build(Settings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire:
        await wire.send(PublishDeviceType(device_type="a.b", name="Saw"),PublishDeviceType(device_type="a_b", name="Saw"),PublishDeviceType(device_type="c", name="Saw"))
        heard = await wire.hear(topics.CATALOG_EVENTS.name, until=lambda h: len(h) >= 3)
        for h in heard: print(h.message)
        print(sorted(await wire.topics()))
