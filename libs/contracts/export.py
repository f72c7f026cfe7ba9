"""JSON Schemas of all message versions, for those who do not read Python: `python -m libs.contracts.export`.

With `--check` nothing is written: stale files are named, and what changed in the messages since the last release is
told; the exit code is 1 when a file is stale or a change is incompatible. `--release VERSION` makes the messages as
they are now the baseline of later checks.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import libs.contracts  # noqa: F401  (registers every message)
from libs.contracts import compatibility
from libs.contracts.base import Message, all_messages, older_versions

EXAMPLES = Path(__file__).parent / "examples"
SCHEMAS = Path(__file__).parent / "schemas"

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def artefact_name(cls: type[Message]) -> str:
    """The file name of a message version's schema and example.

    Its type; where one type travels on two topics, the word that tells the topics apart stands before it.
    """
    alone = sum(type_ == cls.TYPE for _, type_ in all_messages()) == 1
    return f"{cls.TYPE}.json" if alone else f"{cls.TOPIC.name.split('.')[1]}.{cls.TYPE}.json"


def schema_of(cls: type[Message]) -> dict[str, Any]:
    """What the data of a message must look like to be accepted."""
    return {
        "$schema": DIALECT,
        "$comment": f"{cls.TYPE} on {cls.TOPIC.name}, key {cls.KEY}",
        **cls.model_json_schema(mode="validation"),
    }


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of every message version, by file name."""
    return {artefact_name(cls): schema_of(cls) for cls in all_messages().values()}


def texts() -> dict[str, str]:
    """The content of every schema file, by file name."""
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas().items()}


def stale(folder: Path = SCHEMAS) -> list[str]:
    """The names of files that are missing, differ, or belong to no message any more."""
    wanted = texts()
    present = {path.name: path.read_text() for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def export(folder: Path = SCHEMAS) -> list[str]:
    """Write what is stale and remove what is not wanted any more; the names of both."""
    folder.mkdir(exist_ok=True)
    wanted, changed = texts(), stale(folder)
    for name in changed:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return changed


def check() -> int:
    """Name what is stale, tell what changed since the last release; the exit code."""
    names, baseline = stale(), compatibility.released(compatibility.RELEASED)
    found = compatibility.changes(baseline.schemas, schemas(), older_versions())
    sys.stderr.writelines(f"stale: {SCHEMAS.name}/{name}\n" for name in names)
    sys.stdout.write(compatibility.report(baseline.version, found))
    return int(bool(names) or any(change.verdict is compatibility.Verdict.INCOMPATIBLE for change in found))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.contracts.export", description="Export the JSON Schemas.")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--check", action="store_true", help="write nothing, exit 1 when a schema is stale or incompatible"
    )
    ways.add_argument("--release", metavar="VERSION", help="make the current schemas the baseline of later checks")
    wanted = parser.parse_args(arguments)
    if wanted.check:
        return check()
    if wanted.release:
        compatibility.write_release(compatibility.Release(wanted.release, schemas()), compatibility.RELEASED)
        sys.stdout.write(f"{compatibility.RELEASED.name}\n")
        return 0
    sys.stdout.writelines(f"{SCHEMAS.name}/{name}\n" for name in export())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
