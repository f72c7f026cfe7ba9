"""Apache Kafka's artifacts are fetched once, whole or not at all. Maven is a script here."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from libs.devkit.backends import BackendError, apache

MAVEN = """\
#!/bin/sh
for argument; do case "$argument" in -DoutputDirectory=*) folder="${argument#*=}";; esac; done
echo called >> "$CALLS"
touch "$folder/kafka.jar"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    calls = tmp_path / "calls"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CALLS", str(calls))
    maven(tmp_path, MAVEN)
    return calls


def maven(folder: Path, script: str) -> None:
    program = folder / "mvn"
    program.write_text(script)
    program.chmod(0o755)


def test_several_at_once_fetch_once(calls: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(max_workers=3) as pool:
        for done in [pool.submit(apache.fetch, tmp_path / f"{n}.log", threading.Event()) for n in range(3)]:
            done.result()

    assert calls.read_text() == "called\n"
    (folder,) = [entry for entry in (tmp_path / "cache" / "smart-factory").iterdir() if entry.is_dir()]
    assert folder.name.startswith(f"kafka-{apache.kafka_version()}")
    assert [entry.name for entry in folder.iterdir()] == ["kafka.jar"]


def test_a_failure_is_told_and_leaves_nothing(calls: Path, tmp_path: Path) -> None:
    maven(tmp_path, MAVEN + "echo no such artifact\nexit 1\n")

    with pytest.raises(BackendError, match=r"exit code 1\):\nno such artifact"):
        apache.fetch(tmp_path / "log", threading.Event())

    assert [entry for entry in (tmp_path / "cache" / "smart-factory").iterdir() if entry.is_dir()] == []


def test_it_can_be_interrupted(calls: Path, tmp_path: Path) -> None:
    maven(tmp_path, "#!/bin/sh\nexec sleep 600\n")
    interrupted = threading.Event()
    threading.Timer(0.2, interrupted.set).start()

    with pytest.raises(BackendError):
        apache.fetch(tmp_path / "log", interrupted)
