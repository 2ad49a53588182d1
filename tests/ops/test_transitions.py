"""What the journal hears of an outage: once when it begins, once when it ends."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.delivery.peer import Peer
from isthmus.ingest.record import Recorded
from isthmus.ops.metrics import Metrics
from isthmus.ops.watches import IntakeMetrics, LaneMetrics
from isthmus.sdk.connector import Page
from isthmus.sdk.errors import Retryable

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
PAGE = Page(events=[], next=b"1")


def recorded(refused: int = 0) -> Recorded:
    return Recorded(new=0, duplicates=0, stale=0, refused=refused)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_stream_that_fails_for_an_hour_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    watch = IntakeMetrics(Metrics(), "psa", lambda: NOW)
    for _ in range(60):
        watch.failed("time_entries", Retryable("503"))
    watch.pulled("time_entries", PAGE, recorded())
    watch.pulled("time_entries", PAGE, recorded())
    assert said(caplog) == ["stream.fails", "stream.works"]


def test_each_stream_has_its_own_lines(caplog: pytest.LogCaptureFixture) -> None:
    watch = IntakeMetrics(Metrics(), "psa", lambda: NOW)
    watch.failed("users", Retryable("503"))
    watch.failed("expenses", Retryable("503"))
    watch.pulled("users", PAGE, recorded())
    assert said(caplog) == ["stream.fails", "stream.fails", "stream.works"]


def test_work_that_goes_well_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    watch = IntakeMetrics(Metrics(), "psa", lambda: NOW)
    watch.pulled("users", PAGE, recorded())
    LaneMetrics(Metrics(), lambda: NOW).attempted("charges", "ok", 3)
    assert said(caplog) == []


def test_what_needs_a_person_is_a_line_each_time(caplog: pytest.LogCaptureFixture) -> None:
    IntakeMetrics(Metrics(), "psa", lambda: NOW).pulled("users", PAGE, recorded(refused=2))
    LaneMetrics(Metrics(), lambda: NOW).dead("charges", "period")
    assert said(caplog) == ["payload.refused", "delivery.dead"]


def test_a_silent_peer_is_told_when_it_falls_silent_and_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer("erp")
    for second in range(9):
        peer.failed(NOW + timedelta(seconds=second))
    peer.answered()
    peer.answered()
    assert said(caplog) == ["peer.silent", "peer.answers"]
