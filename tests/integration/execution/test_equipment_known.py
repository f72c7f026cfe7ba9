"""A pass reads the devices of a type, and what is planned for them, only when that has changed: then at once."""

from libs.contracts.devices import DeviceState, DeviceStateChanged
from libs.contracts.equipment import HoldDevice, HoldDeviceType, ReleaseDevice, ReleaseDeviceType
from libs.kernel.clock import utc_now
from tests.harness import Kernel
from tests.integration.execution.planning import book, cancel
from tests.integration.execution.talk import dispatch, given, online, release
from tests.integration.execution.test_queries import operations, watch

MILLING = {"device_type": "mill"}


async def looked_once(kernel: Kernel) -> None:
    """Three tasks wait, one slot was free and is taken: the devices are known now."""
    await release(kernel, "P", MILLING, quantity=3)
    await online(kernel, "mill-1", "mill", slots=1)
    assert given(await dispatch(kernel, "mill")) == [("P/10/R/1/1", "mill-1")]


async def test_equipment_that_has_not_changed_is_not_read_again(kernel: Kernel) -> None:
    await looked_once(kernel)
    await watch(kernel)
    assert given(await dispatch(kernel, "mill")) == []
    read = {each["ns"].partition(".")[2] for each in await operations(kernel)}
    assert "tasks" in read
    assert "devices" not in read
    assert "plans" not in read


async def test_a_new_device_and_more_slots_are_seen(kernel: Kernel) -> None:
    await looked_once(kernel)
    await online(kernel, "mill-2", "mill")
    assert given(await dispatch(kernel, "mill")) == [("P/10/R/2/1", "mill-2")]
    await online(kernel, "mill-1", "mill", slots=2)
    assert given(await dispatch(kernel, "mill")) == [("P/10/R/3/1", "mill-1")]


async def test_a_device_that_is_of_another_type_now_is_not_given_what_it_was_for(kernel: Kernel) -> None:
    await online(kernel, "mill-1", "mill", slots=1)
    assert given(await dispatch(kernel, "mill")) == []
    await online(kernel, "mill-1", "laser")
    await release(kernel, "P", MILLING)
    assert given(await dispatch(kernel, "mill")) == []


async def test_states_and_holds_are_seen(kernel: Kernel) -> None:
    await looked_once(kernel)
    await online(kernel, "mill-2", "mill")
    await kernel.give(DeviceStateChanged(device_id="mill-2", state=DeviceState.MAINTENANCE))
    assert given(await dispatch(kernel, "mill")) == []
    await kernel.give(DeviceStateChanged(device_id="mill-2", state=DeviceState.IDLE))
    await kernel.give(HoldDevice(device_id="mill-2", reason="checked", by="m.keller"))
    assert given(await dispatch(kernel, "mill")) == []
    await kernel.give(ReleaseDevice(device_id="mill-2", by="m.keller"))
    await kernel.give(HoldDeviceType(device_type="mill", reason="checked", by="m.keller"))
    assert given(await dispatch(kernel, "mill")) == []
    said = await kernel.give(ReleaseDeviceType(device_type="mill", by="m.keller"))
    assert given(said) == [("P/10/R/2/1", "mill-2")]


async def test_bookings_are_seen(kernel: Kernel) -> None:
    await looked_once(kernel)
    await online(kernel, "mill-2", "mill")
    await kernel.give(book("A", utc_now(), device="mill-2"))
    assert given(await dispatch(kernel, "mill")) == []
    await kernel.give(cancel("A", device="mill-2"))
    assert given(await dispatch(kernel, "mill")) == [("P/10/R/2/1", "mill-2")]
