"""The fate of a failed delivery, line by line, and the key a delivery is known by."""

from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf

import pytest

from isthmus.delivery.attempt import Crash
from isthmus.delivery.policy import (
    DeadLetter,
    Fate,
    InDoubt,
    Park,
    Rest,
    RetryAt,
    RetryPolicy,
    decide,
    delivery_key,
)
from isthmus.sdk.connector import DeliveryClass
from isthmus.sdk.errors import ConnectorError, Fatal, Rejected, Retryable, Throttled, Unmet, Unsure

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
POLICY = RetryPolicy(first_s=5.0, max_s=900.0, max_age_s=72 * 3600.0)
A, B, C = DeliveryClass.A, DeliveryClass.B, DeliveryClass.C


def in_s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("error", "of", "attempts", "age_h", "fate"),
    [
        pytest.param(Retryable("502"), A, 1, 0, RetryAt(in_s(5)), id="the first failure waits first_s"),
        pytest.param(Retryable("502"), A, 4, 1, RetryAt(in_s(40)), id="each further one doubles"),
        pytest.param(Retryable("502"), A, 60, 1, RetryAt(in_s(900)), id="up to max_s"),
        pytest.param(
            Retryable("502"), A, 9, 73, DeadLetter("other", "502"), id="until it failed for max_age"
        ),
        pytest.param(
            Throttled("429", retry_after_s=30), A, 7, 80, Rest(in_s(30)), id="a throttle names its rest"
        ),
        pytest.param(Throttled("429"), A, 1, 0, Rest(in_s(5)), id="a throttle without a word rests first_s"),
        pytest.param(Throttled("429"), A, 3, 0, Rest(in_s(20)), id="and longer when it goes on"),
        pytest.param(
            Throttled("429", retry_after_s=0), A, 1, 0, Rest(in_s(1)), id="a rest of 0 is no hot loop"
        ),
        pytest.param(
            Throttled("429", retry_after_s=inf), A, 1, 0, Rest(in_s(86400)), id="no rest lasts over a day"
        ),
        pytest.param(
            Rejected("period closed", reason="period"),
            A,
            1,
            0,
            DeadLetter("period", "period closed"),
            id="a refusal is final",
        ),
        pytest.param(Fatal("key revoked"), C, 1, 0, Park("key revoked"), id="a fatal error parks the lane"),
        pytest.param(Unsure("lost"), A, 2, 0, RetryAt(in_s(10)), id="class A: an unknown outcome goes again"),
        pytest.param(
            Unsure("lost"), B, 1, 0, InDoubt(in_s(60)), id="class B: it is looked up after the worst commit"
        ),
        pytest.param(
            Unsure("lost"), B, 6, 1, InDoubt(in_s(160)), id="class B: ever less often while no answer comes"
        ),
        pytest.param(
            Unsure("lost"), B, 9, 73, InDoubt(None), id="class B: after max_age a person looks it up"
        ),
        pytest.param(Unsure("lost"), C, 1, 0, InDoubt(None), id="class C: a person decides"),
        pytest.param(
            Crash("KeyError"), C, 1, 0, InDoubt(None), id="broken code leaves the outcome as unknown"
        ),
        pytest.param(
            Unmet("customer"), A, 1, 0, RetryAt(in_s(5), counts=False), id="what is not met waits, uncounted"
        ),
        pytest.param(
            Unmet("customer"), A, 1, 0.1, RetryAt(in_s(360), counts=False), id="and asks ever less often"
        ),
        pytest.param(
            Unmet("customer"), A, 1, 73, DeadLetter("missing", "customer"), id="until it is missing for good"
        ),
    ],
)
def test_fate_of_a_failed_delivery(
    error: ConnectorError, of: DeliveryClass, attempts: int, age_h: float, fate: Fate
) -> None:
    decided = decide(
        error,
        delivery_class=of,
        attempts=attempts,
        age=timedelta(hours=age_h),
        now=NOW,
        retry=POLICY,
        worst_commit_s=60.0,
        jitter=lambda: 1.0,
    )
    assert decided == fate


def test_jitter_draws_between_half_and_all_of_the_wait() -> None:
    waits = set()
    for share in (0.0, 0.5, 0.999):
        fate = decide(
            Retryable("502"),
            delivery_class=A,
            attempts=1,
            age=timedelta(0),
            now=NOW,
            retry=POLICY,
            jitter=partial(float, share),
        )
        assert isinstance(fate, RetryAt)
        waits.add((fate.due_at - NOW).total_seconds())
    assert waits == {2.5, 3.75, 4.9975}


def test_the_key_of_a_delivery_is_the_same_for_ever() -> None:
    assert (
        delivery_key("psa/time.approved/7/1", "erp.time", "erp") == "e66c724b6c73e15bf8de508db3f758c7859cbefd"
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("psa/time.approved/7/2", "erp.time", "erp"), id="another revision"),
        pytest.param(("psa/time.approved/7/1", "erp.costs", "erp"), id="another lane"),
        pytest.param(("psa/time.approved/7/1", "erp.time", "erp-us"), id="another target"),
        pytest.param(("psa/time.approved/7/1\nerp", ".time", "erp"), id="the same letters cut elsewhere"),
    ],
)
def test_another_fact_lane_or_target_has_another_key(other: tuple[str, str, str]) -> None:
    assert delivery_key(*other) != delivery_key("psa/time.approved/7/1", "erp.time", "erp")
