"""Rows of SuiteQL as facts; times of an account."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from isthmus.events import InvoiceReleased, InvoiceVoided, PeriodClosed
from isthmus_netsuite import reading
from isthmus_netsuite.reading import Frame, Ledger, Lines, Party, PeriodState
from isthmus_netsuite.stamps import is_again, moment_of, reread_from, to_stamp, told_twice

LA = ZoneInfo("America/Los_Angeles")
FRAME = Frame(source="netsuite", entity="us", currency="EUR", saved=moment_of("2026-10-31 17:30:05", LA))
PARTY = Party(customer="crm:A1", project="crm:P1")
ROW = {
    "id": "9",
    "tranid": "INV9",
    "status": "A",
    "approvalstatus": "2",
    "voided": "F",
    "total": "1200",
    "trandate": "2026-10-31",
    "duedate": "2026-11-30",
    "modified": "2026-10-31 17:30:05",
}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        pytest.param({}, "invoice.released", id="an open invoice is released"),
        pytest.param({"status": "B"}, "invoice.released", id="a paid one was released before"),
        pytest.param({"status": "D", "approvalstatus": "1"}, None, id="one awaiting approval is not"),
        pytest.param({"status": "A", "approvalstatus": "1"}, None, id="the approval status alone decides"),
        pytest.param({"status": "E", "approvalstatus": "3"}, None, id="a rejected one is not"),
        pytest.param({"status": "V", "voided": "T"}, "invoice.voided", id="a voided one was taken back"),
    ],
)
def test_what_an_invoice_tells(changes: dict[str, str], kind: str | None) -> None:
    event = reading.invoice(ROW | changes, Lines(), PARTY, FRAME, "netsuite:9")
    assert (None if event is None else event.kind) == kind


def test_an_account_without_approval_releases_at_once() -> None:
    row = {name: value for name, value in ROW.items() if name != "approvalstatus"}
    assert reading.invoice(row, Lines(), PARTY, FRAME, "netsuite:9") is not None


def test_a_released_invoice_names_its_charges_and_their_contract() -> None:
    lines = reading.lines_of(
        [
            {"subsidiary": "3"},
            {
                "custcol_isth_charge": "b:1",
                "custcol_isth_amount": "700.00",
                "custcol_isth_contract": "crm:C1",
            },
            {
                "custcol_isth_charge": "b:2",
                "custcol_isth_amount": "500.00",
                "custcol_isth_contract": "crm:C1",
            },
        ]
    )
    event = reading.invoice(ROW, lines, PARTY, FRAME, "netsuite:9")
    assert isinstance(event, InvoiceReleased)
    assert (event.charges, event.contract, event.total) == (["b:1", "b:2"], "crm:C1", Decimal(1200))
    assert event.occurred_at == datetime(2026, 11, 1, 0, 30, 5, tzinfo=UTC)
    assert event.id == "netsuite/invoice.released/netsuite:9/20261031173005"
    assert lines.subsidiary == "3"


def test_a_voided_invoice_of_total_zero_tells_what_its_charges_were() -> None:
    row = ROW | {"status": "V", "voided": "T", "total": "0"}
    event = reading.invoice(row, Lines(charges=["b:1"], amount=Decimal("787.10")), PARTY, FRAME, "netsuite:9")
    assert isinstance(event, InvoiceVoided)
    assert (event.amount, event.on) == (Decimal("787.10"), date(2026, 10, 31))


@pytest.mark.parametrize(
    ("row", "name"),
    [
        pytest.param({"total": "1.2E3"}, "no decimal", id="an amount in another form"),
        pytest.param({"trandate": "10/31/2026"}, "Invalid isoformat", id="a date in the user's format"),
        pytest.param({"total": "12.345"}, "more than the 2 digits", id="an amount finer than its currency"),
    ],
)
def test_a_row_in_another_form_is_refused(row: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        reading.invoice(ROW | row, Lines(), PARTY, FRAME, "netsuite:9")


# Periods

OPEN = {"id": "1", "startdate": "2026-10-01", "enddate": "2026-10-31", "closed": "F"}
NOW = datetime(2026, 11, 5, 12, tzinfo=UTC)
DAY = (date(2026, 11, 3) - date(1970, 1, 1)).days * 1000


@pytest.mark.parametrize(
    ("row", "before", "told"),
    [
        pytest.param({}, PeriodState(), [], id="a period never closed tells nothing"),
        pytest.param(
            {"closed": "T", "closedondate": "2026-11-03"},
            PeriodState(),
            [("period.closed", "all", DAY)],
            id="a closed one is closed for all, in the revision of its day",
        ),
        pytest.param({"alllocked": "T"}, PeriodState(), [("period.closed", "all", 1)], id="locked is closed"),
        pytest.param(
            {"arlocked": "T"}, PeriodState(), [("period.closed", "ar", 1)], id="receivables may lock alone"
        ),
        pytest.param(
            {"arlocked": "T", "aplocked": "T"},
            PeriodState(closed=("ar",), revision=1),
            [("period.closed", "ar", 2), ("period.closed", "ap", 2)],
            id="payables follow",
        ),
        pytest.param(
            {"closed": "T", "closedondate": "2026-11-03"},
            PeriodState(closed=("ar",), revision=1),
            [("period.closed", "all", DAY)],
            id="from receivables to all nothing is reopened in between",
        ),
        pytest.param(
            {},
            PeriodState(closed=("all",), closed_on="2026-11-03", revision=DAY),
            [("period.reopened", "all", DAY + 1)],
            id="an open one that was closed is reopened",
        ),
        pytest.param(
            {"arlocked": "T"},
            PeriodState(closed=("all",), closed_on="2026-11-03", revision=DAY),
            [("period.reopened", "ap", DAY + 1), ("period.closed", "ar", DAY + 1)],
            id="from all to receivables only payables are reopened",
        ),
        pytest.param(
            {"closed": "T", "closedondate": "2026-11-03"},
            PeriodState(revision=DAY + 1),
            [("period.closed", "all", DAY + 2)],
            id="closed again on the same day it has a higher revision",
        ),
        pytest.param(
            {"closed": "T", "closedondate": "2026-11-03"},
            PeriodState(closed=("all",), closed_on="2026-11-03", revision=DAY),
            [],
            id="no change tells nothing",
        ),
    ],
)
def test_what_a_period_tells(
    row: dict[str, str], before: PeriodState, told: list[tuple[str, Ledger, int]]
) -> None:
    events, _ = reading.period(OPEN | row, before, source="netsuite", entity="us", zone=LA, now=NOW)
    found = [(event.kind, getattr(event, "ledger", ""), event.fact_revision) for event in events]
    assert found == told
    assert len({event.id for event in events}) == len(events)


def test_a_period_bears_its_month() -> None:
    row = OPEN | {"closed": "T", "closedondate": "2026-11-03"}
    (event,), state = reading.period(row, PeriodState(), source="netsuite", entity="us", zone=LA, now=NOW)
    assert isinstance(event, PeriodClosed)
    assert (event.period, event.starts_on, event.ends_on) == (
        "2026-10",
        date(2026, 10, 1),
        date(2026, 10, 31),
    )
    assert event.occurred_at == datetime(2026, 11, 3, 8, tzinfo=UTC)
    assert reading.period(row, state, source="netsuite", entity="us", zone=LA, now=NOW) == ([], state)


@pytest.mark.parametrize(
    ("start", "end", "name"),
    [
        pytest.param(date(2026, 2, 1), date(2026, 2, 28), "2026-02", id="a month"),
        pytest.param(date(2026, 9, 27), date(2026, 10, 24), "2026-10", id="four weeks of a 4-4-5 calendar"),
        pytest.param(date(2026, 12, 27), date(2027, 1, 23), "2027-01", id="over the new year"),
    ],
)
def test_a_period_is_named_after_the_month_of_its_middle(start: date, end: date, name: str) -> None:
    assert reading.period_name(start, end) == name


# Times


@pytest.mark.parametrize(
    ("watermark", "start"),
    [
        pytest.param("2026-10-31 17:30:05", "2026-10-31 17:20:05", id="the overlap behind"),
        pytest.param("2026-11-01 01:50:00", "2026-11-01 00:40:00", id="in the hour told twice: an hour more"),
        pytest.param("2026-11-01 02:30:00", "2026-11-01 01:20:00", id="and in the hour after it"),
        pytest.param("2026-11-01 03:05:00", "2026-11-01 02:55:00", id="then no more"),
        pytest.param("2026-03-08 03:05:00", "2026-03-08 02:55:00", id="the hour left out is no matter"),
    ],
)
def test_where_the_next_sweep_starts(watermark: str, start: str) -> None:
    assert reread_from(watermark, 600, LA) == start


def test_stamps_are_the_accounts_time() -> None:
    instant = datetime(2026, 10, 20, 17, tzinfo=UTC)
    assert to_stamp(instant, LA) == "2026-10-20 10:00:00"
    saved = moment_of("2026-10-20 10:00:00", LA)
    assert (saved.at, saved.revision) == (instant, 20261020100000)


@pytest.mark.parametrize(
    "zone",
    [
        pytest.param("America/Los_Angeles", id="an hour at 01:00"),
        pytest.param("Europe/Berlin", id="an hour at 02:00"),
        pytest.param("Australia/Lord_Howe", id="half an hour at 01:30"),
        pytest.param("Asia/Kolkata", id="a clock that never changes"),
    ],
)
def test_revisions_grow_with_time_through_every_hour_of_a_year(zone: str) -> None:
    account = ZoneInfo(zone)
    seen = []
    for minutes in range(0, 366 * 24 * 60, 29):
        instant = datetime(2026, 1, 1, 0, 0, 59, tzinfo=UTC) + timedelta(minutes=minutes)
        saved = moment_of(to_stamp(instant, account), account, again=is_again(instant, account))
        assert saved.at == instant
        seen.append(saved.revision)
    assert seen == sorted(set(seen))


def test_only_the_hour_told_twice_is_in_doubt() -> None:
    doubtful = [f"{hour:02}" for hour in range(24) if told_twice(f"2026-11-01 {hour:02}:30:00", LA)]
    assert doubtful == ["01"]
