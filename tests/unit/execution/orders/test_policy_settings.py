"""The policy of a site comes from the environment; a wrong one stops the process with the variable's name and why."""

import pytest

from services.execution.orders.domain.policies import NoDevice, Policy
from services.execution.settings import ExecutionSettings


def test_a_site_that_says_nothing_warns_and_takes_a_million() -> None:
    assert ExecutionSettings().policies.of("anywhere") == Policy(1_000_000, NoDevice.WARN)


def test_a_site_differs_only_in_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACTORY_NO_DEVICE", "refuse")
    monkeypatch.setenv("FACTORY_MAX_EXECUTIONS", "70")
    own = '{"north": {"no_device": "warn"}, "south": {"max_executions": 5000}, "east": {}}'
    monkeypatch.setenv("FACTORY_SITE_POLICIES", own)
    policies = ExecutionSettings.from_environment().policies
    assert {site: policies.of(site) for site in ("north", "south", "east", "west")} == {
        "north": Policy(70, NoDevice.WARN),
        "south": Policy(5000, NoDevice.REFUSE),
        "east": Policy(70, NoDevice.REFUSE),
        "west": Policy(70, NoDevice.REFUSE),
    }


@pytest.mark.parametrize("nothing", ["", " ", "{}"])
def test_nothing_is_no_policy(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    monkeypatch.setenv("FACTORY_SITE_POLICIES", nothing)
    assert ExecutionSettings.from_environment().site_policies == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", ["not JSON"]),
        ("[]", ["all of it: "]),
        ('{"north": "refuse"}', ["north: "]),
        (
            '{"north": {"no_device": "never"}, "south": {"max_executions": 0, "no_devices": "warn"}}',
            ["north.no_device: ", "'never'", "south.max_executions: ", "south.no_devices: Extra inputs"],
        ),
        ('{"north": {"max_executions": 9223372036854775808}}', ["north.max_executions: "]),
        ('{"far north": {}}', ["far north"]),
    ],
)
def test_a_wrong_policy_stops_the_process_and_says_all_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, said: list[str]
) -> None:
    monkeypatch.setenv("FACTORY_SITE_POLICIES", text)
    with pytest.raises(SystemExit) as stopped:
        ExecutionSettings.from_environment()
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("FACTORY_SITE_POLICIES=")
    assert all(part in told for part in said), told


def test_a_wrong_choice_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FACTORY_NO_DEVICE", "maybe")
    with pytest.raises(SystemExit):
        ExecutionSettings.from_environment()
    assert "FACTORY_NO_DEVICE='maybe': Input should be 'warn' or 'refuse'" in capsys.readouterr().err
