"""Runtimes of other languages: what a machine lacks of them, their libraries in a cache, programs run to their end."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from libs.devkit.processes import spawn, wait_until

HERE = Path(__file__).parent
SEND_SECONDS = 60.0
"""A program's time to compile, or to connect and send one message, on a busy machine."""
FETCH_SECONDS = 400.0
"""A package manager's time to fetch libraries, once a machine."""

_LEAST_JAVA = 17
_JAVA_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a program of seconds: a third less time."""
_POM = HERE / "pom.xml"
_PACKAGE = (HERE / "package.json", HERE / "package-lock.json")


class RuntimeMissing(Exception):
    """The machine lacks a program; the text names it."""


def java(source: Path, classes: Path) -> list[str]:
    """Compile a Java source file into the folder `classes`, with the libraries of `pom.xml` on its class path; the
    command that runs it.

    Raises:
        RuntimeMissing: there is no JDK, or no Maven where the libraries are not in the cache yet.
        AssertionError: it does not compile; with what the compiler says.
    """
    program = _java_program()
    lacking = _lacking_java(program)
    folder = _cache("java", [_POM])
    if not folder.is_dir() and shutil.which("mvn") is None:
        lacking.append("Maven (no mvn found)")
    if lacking:
        raise RuntimeMissing(f"the Java senders need {' and '.join(lacking)}")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=libraries"]
    _fetch(folder, [_POM], ["mvn", "-q", "-B", *goal])
    java = [program, *_JAVA_OPTIONS]
    path = os.pathsep.join([*map(str, sorted(folder.glob("libraries/*.jar"))), str(classes)])
    compiler = [*java, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", path, "-d", str(classes)]
    run([*compiler, str(source)], classes / "compiler.log", SEND_SECONDS)
    return [*java, "-cp", path, source.stem]


def node() -> dict[str, str]:
    """The environment in which Node.js finds the modules of `package.json`.

    Raises:
        RuntimeMissing: there is no Node.js, or no npm where the modules are not in the cache yet.
    """
    folder = _cache("node", _PACKAGE)
    lacking = [] if shutil.which("node") else ["Node.js (no node found)"]
    if not folder.is_dir() and shutil.which("npm") is None:
        lacking.append("npm (no npm found)")
    if lacking:
        raise RuntimeMissing(f"the Node.js senders need {' and '.join(lacking)}")
    _fetch(folder, _PACKAGE, ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}


def run(
    command: Sequence[str], log: Path, seconds: float, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a program to its end, its output appended to `log`.

    Raises:
        AssertionError: it took longer than `seconds`, or ended with another exit code than 0; with its last words.
    """
    program = spawn(command, log=log, cwd=cwd, env=env)
    try:
        in_time = wait_until(lambda: not program.alive, seconds)
    finally:
        program.stop()
    assert in_time, f"{command[0]} has not ended after {seconds:g} s:\n{program.tail(40)}"
    assert program.exit_code == 0, f"{command[0]} {program.ending()}:\n{program.tail(40)}"


def _cache(language: str, listed: Sequence[Path]) -> Path:
    """The folder for libraries, outside the repository; other contents of the files that list them have another one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fingerprint = hashlib.sha256(b"".join(path.read_bytes() for path in listed)).hexdigest()[:8]
    return cache / "smart-factory" / f"senders-{language}-{fingerprint}"


def _fetch(folder: Path, listed: Sequence[Path], command: Sequence[str]) -> None:
    """Have the libraries in `folder`. Of several processes that fetch at once, the first to end fills it."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        for path in listed:
            shutil.copy(path, partial)
        run(command, partial / "fetch.log", FETCH_SECONDS, cwd=partial)
        try:
            partial.rename(folder)  # all or nothing: a folder of this name is complete
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _java_program() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def _lacking_java(program: str) -> list[str]:
    """What is missing to compile and run a source file: a new enough Java, with its compiler (a JRE has none)."""
    least = f"Java {_LEAST_JAVA} or newer"
    try:
        modules = subprocess.run([program, "--list-modules"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return [f"{least} (no {program} found)"]
    version = re.search(r"^java\.base@(\d+)", modules, re.MULTILINE)
    if version is None or int(version[1]) < _LEAST_JAVA:
        return [f"{least} (found {version[1] if version else 'one before 9'})"]
    if "jdk.compiler@" not in modules:
        return [f"a JDK (the Java {version[1]} found has no compiler)"]
    return []
