"""Which backend a word means, and what is said when it cannot be had."""

import pytest

from libs.devkit.backends import BackendError, Choice, apache, choose, docker
from libs.devkit.backends.given import GivenBackend
from libs.devkit.supervisor import hide_password


def test_the_default_is_embedded() -> None:
    assert Choice.from_environment({}) == Choice("embedded", "embedded", "embedded")
    assert Choice.from_environment({"KAFKA": "apache", "REDIS": ""}).kafka == "apache"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("kafka", "localhost:9092"),
        ("kafka", "a.example:9092,b.example:9092"),
        ("mongodb", "mongodb://user:pw@db:27017/?replicaSet=rs0"),
        ("mongodb", "mongodb+srv://db.example"),
        ("redis", "redis://127.0.0.1:6379/0"),
    ],
)
def test_an_address_is_used_as_it_stands(name: str, address: str) -> None:
    backend = choose(name, address)

    assert isinstance(backend, GivenBackend)
    assert backend.address == address
    assert backend.pid is None
    with pytest.raises(BackendError, match="was not started here"):
        backend.kill()


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("kafka", "9092", "KAFKA=9092: should be embedded, apache, docker, real or host:port"),
        ("kafka", "http://host:9092", "KAFKA=http://host:9092: should be"),
        ("mongodb", "apache", "MONGODB=apache: should be embedded, docker or mongodb://"),
        ("redis", "localhost:6379", "REDIS=localhost:6379: should be embedded, docker or redis://"),
    ],
)
def test_another_word_is_refused_with_what_it_should_be(name: str, word: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        choose(name, word)


def test_the_embedded_broker_is_called_what_it_is() -> None:
    assert "for development, not durable" in choose("kafka", "embedded").description


def test_real_kafka_names_all_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker, "engine_missing", lambda: "no Docker engine answers")
    monkeypatch.setattr(apache, "missing", lambda: "Java 17 or newer (no java found) and Maven (no mvn found)")

    with pytest.raises(BackendError, match=r"no Docker engine answers; .* Java 17 .* and Maven"):
        choose("kafka", "real")


def test_programs_on_the_path_win_over_wheels(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "redis-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))

    assert choose("redis", "embedded").description.startswith(f"redis-server from PATH ({program})")


def test_containers_listen_where_their_clients_are_sent() -> None:
    images = docker.images()

    kafka = images["kafka"].environment(4242)
    assert kafka["KAFKA_LISTENERS"].startswith("PLAINTEXT://0.0.0.0:4242,")
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{images['kafka'].address(4242)}"
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert images["kafka"].image == f"apache/kafka:{apache.kafka_version()}"
    assert "--replSet rs0" in " ".join(images["mongodb"].command(4242) or [])
    assert images["mongodb"].address(4242) == "mongodb://127.0.0.1:4242/?replicaSet=rs0"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mongodb://me:secret@db:1/?replicaSet=rs0", "mongodb://me:***@db:1/?replicaSet=rs0"),
        ("redis://:secret@cache:1/0", "redis://:***@cache:1/0"),
        ("localhost:9092", "localhost:9092"),
    ],
)
def test_passwords_are_not_shown(address: str, shown: str) -> None:
    assert hide_password(address) == shown
