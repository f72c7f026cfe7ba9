"""`factory simulate` and `factory demo --attach` as processes, with a scripted factory on the other side."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from tests.integration.devkit.scripted_factory import ScriptedFactory, until

SAW = {"type": "catalog.device-type.publish.v1", "data": {"device_type": "saw", "name": "Saw"}}
STEP = {"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 1}
TUBE = {"type": "catalog.recipe.publish.v1", "data": {"recipe_code": "TUBE", "name": "Tube", "steps": [STEP]}}
LINE = {"line_id": "10", "recipe_code": "TUBE", "quantity": 3}
ORDER = {"type": "erp.order.requested.v1", "data": {"order_id": "O", "revision": 1, "deadline": "+3d", "lines": [LINE]}}
REFUSED = {"O": [{"code": "NO", "path": "lines[0]", "message": "not today"}]}


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    file = tmp_path / "messages.json"
    file.write_text(json.dumps([SAW, TUBE, ORDER]))
    return file


async def run(*arguments: str | Path, **environment: str) -> Process:
    command = [sys.executable, "-m", "libs.devkit", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env={**os.environ, **environment})


async def finished(process: Process) -> tuple[int, str]:
    """Exit code and standard output."""
    try:
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    sys.stderr.write(errors.decode())  # shown when the test fails
    assert process.returncode is not None
    return process.returncode, output.decode()


def where(factory: ScriptedFactory) -> dict[str, str]:
    return {"FACTORY_KAFKA": factory.address.kafka, "FACTORY_NAMESPACE": factory.address.namespace}


async def test_orders_and_devices_from_the_command_line(kafka: str, namespace: str, messages: Path) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        devices = await run("simulate", "devices", "--devices", "saw=2", "--speed", "0", **where(factory))
        erp = await run("simulate", "erp", messages, "--repeat", "2", "--json", **where(factory))
        code, output = await finished(erp)
        devices.send_signal(signal.SIGTERM)
        stopped, said = await finished(devices)
        document = json.loads(output)
        assert (code, document["ok"]) == (0, True)
        assert [one["outcome"] for one in document["master_data"]] == ["published", "published"]
        assert {one["order_id"]: one["state"] for one in document["orders"]} == {"O-1": "COMPLETED", "O-2": "COMPLETED"}
        assert "2 devices; Ctrl-C ends them" in said
        assert "6 good" in said
        assert stopped == 130
        await until(lambda: len(factory.told("device.state-changed.v1")) == 2)


async def test_progress_in_plain_lines_where_there_is_no_terminal(kafka: str, namespace: str, messages: Path) -> None:
    async with ScriptedFactory(kafka, namespace):
        options = ["--kafka", kafka, "--namespace", namespace]
        devices = await run("simulate", "devices", "--devices", "saw=1", "--speed", "inf", *options)
        code, output = await finished(await run("simulate", "erp", messages, *options))
        devices.send_signal(signal.SIGINT)
        await finished(devices)
    assert code == 0
    assert "TUBE: published version 1" in output
    assert "O/10 COMPLETED: produced 3/3 (executions: 3 good, 0 scrapped, 0 in work)" in output
    assert "\x1b" not in output


async def test_a_rejected_order_ends_with_1_and_its_errors(kafka: str, namespace: str, messages: Path) -> None:
    async with ScriptedFactory(kafka, namespace, refuse=REFUSED) as factory:
        code, output = await finished(await run("simulate", "erp", messages, **where(factory)))
    assert code == 1
    assert "O REJECTED" in output
    assert "NO lines[0] not today" in output


async def test_refused_master_data_ends_with_1_and_no_order_is_sent(kafka: str, namespace: str, messages: Path) -> None:
    async with ScriptedFactory(kafka, namespace, refuse={"TUBE": REFUSED["O"]}) as factory:
        code, output = await finished(await run("simulate", "erp", messages, **where(factory)))
        assert factory.told("erp.order.requested.v1") == []
    assert code == 1
    assert "TUBE: rejected" in output
    assert "NO lines[0] not today" in output


async def test_an_order_that_does_not_end_in_time_ends_with_1(kafka: str, namespace: str, messages: Path) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        code, _ = await finished(await run("simulate", "erp", messages, "--timeout", "0.5", **where(factory)))
        assert code == 1
        options = ["--no-master-data", "--no-follow"]
        code, output = await finished(await run("simulate", "erp", messages, *options, **where(factory)))
    assert code == 0
    assert output == "sent 1 orders\n"


def _document(entry: dict[str, Any]) -> dict[str, Any]:
    """As execution writes it: what does not apply is not there."""
    told = {name: value for name, value in entry.items() if value not in (None, ()) and name not in ("id", "fence")}
    where = "/".join(str(entry[name]) for name in ("project_id", "line_id", "recipe_code", "execution", "step"))
    return {"_id": f"{where}#{entry['fence']}", "site": "main", **told}


class Stored(ScriptedFactory):
    """Keeps ledger and tasks in MongoDB as execution does, but for the last `lose` entries of each order.

    The last one ends a good execution. An earlier one may be of an execution that is scrapped later, and of those
    nobody can say that a report is missing.
    """

    def __init__(self, *arguments: Any, mongodb: str, lose: int = 0) -> None:
        super().__init__(*arguments)
        self.client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb)
        self.lose = lose

    async def before_completed(self, order_id: str) -> None:
        database = self.client[f"{self.address.namespace}_factory_execution"]
        entries = [asdict(one) for one in self.ledger if one.order_id == order_id]
        await database["ledger"].insert_many([_document(one) for one in entries[: len(entries) - self.lose]])
        tasks = [{"_id": id_, **task} for id_, task in self.tasks.items() if task["order_id"] == order_id]
        await database["tasks"].insert_many(tasks)


@pytest.fixture
async def stored(kafka: str, mongodb: str, namespace: str) -> AsyncIterator[Stored]:
    async with Stored(kafka, namespace, mongodb=mongodb) as factory:
        yield factory
        await factory.client.drop_database(f"{namespace}_factory_execution")
        await factory.client.close()


async def test_the_demo_builds_the_sample_and_counts_again(stored: Stored, mongodb: str) -> None:
    process = await run("demo", "--attach", "--json", "--speed", "0", FACTORY_MONGODB=mongodb, **where(stored))
    code, output = await finished(process)
    document = json.loads(output)
    assert (code, document["ok"], document["problems"]) == (0, True, [])
    assert {order["state"] for order in document["orders"]} == {"COMPLETED"}
    assert sum(line["tasks"] for line in document["lines"]) == len(stored.tasks)
    assert sum(line["scrapped"] for line in document["lines"]) > 0
    assert all(line["produced"] == line["target"] for line in document["lines"])


async def test_the_demo_says_which_numbers_do_not_agree(stored: Stored, mongodb: str) -> None:
    stored.lose = 1
    code, output = await finished(
        await run("demo", "--attach", "--speed", "0", FACTORY_MONGODB=mongodb, **where(stored))
    )
    assert code == 1
    assert "does not agree: order PO-1001" in output
    assert "activation" in output, "the table is shown all the same"


async def test_the_demo_says_what_is_missing_at_the_deadline(stored: Stored, mongodb: str) -> None:
    process = await run("demo", "--attach", "--speed", "1", "--deadline", "4", FACTORY_MONGODB=mongodb, **where(stored))
    code, output = await finished(process)
    assert code == 1
    assert "not complete: PO-1001" in output
