"""Ids, times, and settings that refuse what is wrong with the name of the variable."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.kernel import ids
from libs.kernel.clock import rfc3339, utc_now
from libs.kernel.ids import new_id, project_id_of
from libs.kernel.settings import Settings


class TestIds:
    def test_new_ids_are_unique_and_have_the_layout_of_uuid_7(self) -> None:
        made = {new_id() for _ in range(10_000)}

        assert len(made) == 10_000
        assert all(re.fullmatch("[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", each) for each in made)

    def test_new_ids_are_ordered_by_the_millisecond(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        for millisecond in range(1_795_248_000_000, 1_795_248_000_050):
            monkeypatch.setattr(ids.time, "time_ns", lambda at=millisecond: at * 1_000_000)
            made.append(new_id())

        assert made == sorted(made)

    def test_one_order_is_one_project_and_a_namesake_of_another_site_is_another(self) -> None:
        assert project_id_of("main", "PO-1") == project_id_of("main", "PO-1")
        assert project_id_of("main", "PO-1") != project_id_of("bergen", "PO-1")
        assert project_id_of("a", "b-c") != project_id_of("a-b", "c")
        assert project_id_of("main", "PO-1").startswith("PO-1-")

    def test_a_project_id_fits_where_reports_name_it(self) -> None:
        assert len(project_id_of("s" * 64, "x" * 64)) <= 100


class TestTimes:
    def test_now_is_utc_to_the_millisecond(self) -> None:
        now = utc_now()

        assert now.tzinfo is UTC
        assert now.microsecond % 1000 == 0
        assert abs(datetime.now(UTC) - now) < timedelta(seconds=5)

    def test_times_are_written_in_utc_with_milliseconds(self) -> None:
        there = timezone(timedelta(hours=5, minutes=30))

        assert rfc3339(datetime(2026, 11, 21, 13, 45, 30, 250_999, there)) == "2026-11-21T08:15:30.250Z"
        assert rfc3339(datetime(2026, 11, 21, tzinfo=UTC)) == "2026-11-21T00:00:00.000Z"


class TestSettings:
    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in Settings.model_fields:
            monkeypatch.delenv(f"FACTORY_{name.upper()}", raising=False)
        monkeypatch.delenv("MONGO_DRIVER", raising=False)

    def test_defaults_are_those_of_a_machine_alone(self) -> None:
        settings = Settings.from_environment()

        assert settings.kafka == "127.0.0.1:9092"
        assert settings.mongo_driver == "motor"
        assert settings.namespace == ""

    def test_they_are_read_from_the_environment_and_cannot_be_changed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FACTORY_KAFKA", "k1:9092,k2:9092")
        monkeypatch.setenv("MONGO_DRIVER", "pymongo")

        settings = Settings.from_environment()

        assert (settings.kafka, settings.mongo_driver) == ("k1:9092,k2:9092", "pymongo")
        with pytest.raises(ValueError, match="frozen"):
            settings.kafka = "other:1"  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("FACTORY_KAFKA", "nowhere"),
            ("FACTORY_KAFKA", "http://k1:9092"),
            ("FACTORY_MONGODB", "localhost:27017"),
            ("FACTORY_REDIS", "localhost"),
            ("FACTORY_HTTP_PORT", "70000"),
            ("FACTORY_NAMESPACE", "a.b"),
            ("FACTORY_LOG_LEVEL", "loud"),
            ("FACTORY_BATCH_SIZE", "0"),
            ("FACTORY_KAFKA_REPLICAS", "many"),
            ("MONGO_DRIVER", "mongoengine"),
        ],
    )
    def test_a_wrong_value_ends_the_process_with_the_variables_name(
        self, variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv(variable, value)

        with pytest.raises(SystemExit) as exit_:
            Settings.from_environment()

        assert exit_.value.code == 2
        assert capsys.readouterr().err.startswith(f"{variable}='{value}': ")
