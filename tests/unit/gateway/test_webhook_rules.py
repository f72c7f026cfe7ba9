"""Where webhooks may go, what proves that we told them, and when a delivery is tried again."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from services.gateway.domain.deliveries import (
    GIVEN_UP_AFTER,
    Answer,
    DeliveryState,
    answered,
    claimed,
    deliveries_of,
    replayed,
)
from services.gateway.domain.record import Entry
from services.gateway.domain.targets import Refused, Targets, plain
from services.gateway.domain.webhooks import EVENT_TYPES, OVERLAP, new_secret, rotated, signed, unknown
from services.gateway.settings import GatewaySettings
from tests.unit.gateway.webhooks import delivery, webhook
from tests.unit.gateway.world import NOON

LIST = Targets.parse("hooks.example.com, *.example.org, 10.1.0.0/16, localhost")
ANYWHERE = Targets.parse("*")


def why(targets: Targets, url: str) -> str:
    try:
        targets.place_of(url)
    except Refused as error:
        return error.problem.code
    return ""


class TestTargets:
    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("https://hooks.example.com/a?b=c", ""),
            ("https://HOOKS.example.com.:8443/", ""),
            ("http://hooks.example.com/", ""),
            ("https://a.b.example.org", ""),
            ("https://example.org", "TARGET_NOT_ALLOWED"),
            ("https://evilexample.org", "TARGET_NOT_ALLOWED"),
            ("https://hooks.example.com.evil.net/", "TARGET_NOT_ALLOWED"),
            ("http://10.1.2.3:9000/", ""),
            ("http://[::ffff:10.1.2.3]/", ""),
            ("https://10.2.0.1/", "PRIVATE_ADDRESS"),
            ("https://127.0.0.1/", "PRIVATE_ADDRESS"),
            ("https://[::1]/", "PRIVATE_ADDRESS"),
            ("https://[::ffff:127.0.0.1]/", "PRIVATE_ADDRESS"),
            ("https://169.254.169.254/latest/meta-data", "PRIVATE_ADDRESS"),
            ("https://93.184.216.34/", "TARGET_NOT_ALLOWED"),
            ("ftp://hooks.example.com/", "INVALID_URL"),
            ("https://user:word@hooks.example.com/", "INVALID_URL"),
            ("https://hooks.example.com\\@evil.net/", "INVALID_URL"),
            ("https://hooks.example.com/#a", "INVALID_URL"),
            ("https://hooks.example.com:99999/", "INVALID_URL"),
            ("https://[::1/", "INVALID_URL"),
            ("https://hooks.example.com/ä", "INVALID_URL"),
            ("https://", "INVALID_URL"),
            ("", "INVALID_URL"),
        ],
    )
    def test_a_url_goes_where_the_list_says(self, url: str, code: str) -> None:
        assert why(LIST, url) == code

    def test_without_a_list_nothing_is_told_outside(self) -> None:
        assert why(Targets(), "https://hooks.example.com/") == "TARGET_NOT_ALLOWED"

    def test_anywhere_is_anywhere_public_by_https(self) -> None:
        assert why(ANYWHERE, "https://hooks.example.net/") == ""
        assert why(ANYWHERE, "https://93.184.216.34/") == ""
        assert why(ANYWHERE, "http://hooks.example.net/") == "NOT_HTTPS"
        assert why(ANYWHERE, "https://192.168.0.1/") == "PRIVATE_ADDRESS"

    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "10.2.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
            *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
            *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
        ],
    )
    @pytest.mark.parametrize("targets", [LIST, ANYWHERE], ids=["list", "anywhere"])
    def test_an_allowed_name_never_leads_to_an_address_inside(self, targets: Targets, address: str) -> None:
        with pytest.raises(Refused) as error:
            targets.check(address)
        assert error.value.problem.code == "PRIVATE_ADDRESS"

    @pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "10.1.0.1"])
    def test_an_allowed_name_leads_to_addresses_that_are_public_or_listed(self, address: str) -> None:
        assert LIST.check(address) == ip_address(address)
        assert plain(ip_address("::ffff:10.1.0.1")) == LIST.check("::ffff:10.1.0.1") == ip_address("10.1.0.1")

    @pytest.mark.parametrize("text", ["10.0.0.0/33", "a b", "https://x", "a/b", "*x", "10.1.0.1/16"])
    def test_a_setting_that_is_no_list_stops_the_start(self, text: str) -> None:
        with pytest.raises(ValueError, match="is no host"):
            GatewaySettings(webhook_targets=text)


class TestSignatures:
    def test_the_library_verifies_them(self) -> None:
        now = datetime.now(UTC)
        headers = dict(signed(webhook(), "msg_1", '{"a": "ä"}', now))

        assert headers["webhook-id"] == "msg_1"
        verifier = Verifier(webhook().secrets[0].value)
        assert verifier.verify('{"a": "ä"}', headers) == {"a": "ä"}
        with pytest.raises(WebhookVerificationError):
            verifier.verify('{"a": "b"}', headers)

    def test_after_a_rotation_both_secrets_sign_for_a_day(self) -> None:
        now = datetime.now(UTC)
        before, fresh = webhook().secrets[0], new_secret(now)
        both = rotated(webhook(), fresh, now)

        headers = dict(signed(both, "msg_1", "{}", now))
        for secret in (before, fresh):
            Verifier(secret.value).verify("{}", headers)
        later = now + OVERLAP
        assert len(signed(both, "msg_1", "{}", later)["webhook-signature"].split()) == 1
        assert len(rotated(both, new_secret(later), later).secrets) == 2

    def test_many_rotations_leave_few_secrets(self) -> None:
        hook = webhook()
        for _ in range(9):
            hook = rotated(hook, new_secret(NOON), NOON)
        assert len(hook.secrets) == 5
        assert [each.until is None for each in hook.secrets] == [True, False, False, False, False]


class TestEvents:
    def test_patterns(self) -> None:
        hook = webhook(events=("projects.project.*", "execution.task.held.v1"))
        assert hook.wants("projects.project.changed.v1")
        assert hook.wants("execution.task.held.v1")
        assert not hook.wants("execution.task.failed.v1")
        assert unknown(["*", "projects.project.*", "no.such.v1", EVENT_TYPES[0]]) == [2]

    def test_an_event_is_delivered_to_those_that_want_it(self) -> None:
        entry = Entry(
            site="main", project_id="P", id="e", position=1, at=NOON, type="a.b.v1", text="", correlation_id="c"
        )
        hooks = [
            webhook("1"),
            webhook("2", site="north"),
            webhook("3", events=("a.c.*",)),
            webhook("4", active=False),
            webhook("5", events=("a.b.v1",)),
        ]
        made = deliveries_of([entry], hooks, NOON)
        assert [each.webhook_id for each in made] == ["1", "5"]
        assert len({each.delivery_id for each in made}) == 2
        assert deliveries_of([entry], hooks, NOON + timedelta(days=1))[0].delivery_id == made[0].delivery_id
        assert '"specversion":"1.0"' in made[0].body


class TestTries:
    def test_they_back_off_until_three_days_are_over(self) -> None:
        kept, now, waits = delivery(), NOON, []
        while kept.state is DeliveryState.PENDING:
            kept = answered(claimed(kept, "c", now), Answer(status=503), now)
            if kept.state is DeliveryState.PENDING:
                waits.append(kept.due_at - now)
                now = kept.due_at

        hours = [timedelta(hours=each) for each in (2, 5, *[10] * 6)]
        assert waits == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), *hours]
        assert kept.state is DeliveryState.FAILED
        assert len(kept.tries) == 12
        assert kept.tries[-1].at - NOON <= GIVEN_UP_AFTER

    @pytest.mark.parametrize("status", [200, 202, 204, 299])
    def test_any_2xx_is_delivered(self, status: int) -> None:
        after = answered(delivery(), Answer(status=status), NOON)
        assert after.state is DeliveryState.DELIVERED

    @pytest.mark.parametrize("status", [100, 301, 302, 400, 404, 429, 500, None])
    def test_anything_else_is_tried_again(self, status: int | None) -> None:
        after = answered(claimed(delivery(), "c", NOON), Answer(status=status, error="e" * 9999), NOON)
        assert after.state is DeliveryState.PENDING
        assert after.claim is None
        assert len(after.tries[0].error or "") == 500

    def test_410_is_the_end(self) -> None:
        assert answered(delivery(), Answer(status=410), NOON).state is DeliveryState.CANCELLED

    def test_a_replay_is_due_at_once_and_has_three_days_again(self) -> None:
        later = NOON + timedelta(days=9)
        failed = delivery(state=DeliveryState.FAILED, failures=12)
        again = replayed(failed, later)
        assert (again.state, again.due_at, again.failures) == (DeliveryState.PENDING, later, 0)
        assert again.delivery_id == failed.delivery_id
        assert answered(again, Answer(), later).due_at == later + timedelta(seconds=5)

    def test_a_replay_leaves_a_try_in_hand_alone(self) -> None:
        trying = claimed(delivery(), "c", NOON)
        assert replayed(trying, NOON) is trying
