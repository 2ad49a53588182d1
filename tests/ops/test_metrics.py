"""What a scrape shows, and that nothing missing looks like nothing wrong."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from isthmus.events import KINDS, PeriodClosed
from isthmus.ingest.record import Recorded
from isthmus.ops.metrics import Lag, LaneSnapshot, Metrics, Snapshot, Unbilled
from isthmus.ops.reconciling import DifferenceLine, RunPage
from isthmus.ops.watches import IntakeMetrics, LaneMetrics
from isthmus.sdk import Page

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
RUNBOOK = Path(__file__).parents[2] / "systemd" / "README.md"


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.prepare(["crm"], ["charges"], KINDS)
    return metrics


def shown(metrics: Metrics) -> dict[str, float]:
    """Every sample of a scrape: name with labels to value."""
    text = metrics.exposition()[0].decode()
    return {
        sample.name + "".join(f",{k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def test_every_series_is_there_at_zero_before_anything_happens(metrics: Metrics) -> None:
    values = shown(metrics)
    for series in (
        "isthmus_events_received_total,connector=crm,event_type=time.approved",
        "isthmus_connector_requests_total,connector=crm,operation=post,outcome=unsure",
        "isthmus_deliveries_total,lane=charges,outcome=dead",
        "isthmus_dead_letters_total,class=period,lane=charges",
        "isthmus_outbox_deliveries,lane=charges,state=blocked",
        "isthmus_outbox_oldest_due_timestamp_seconds,lane=charges",
        "isthmus_delivery_lag_seconds_count,lane=charges",
        "isthmus_log_messages_total,level=error",
        "isthmus_unbilled_approved_hours,age=gt_7d,cause=blocked",
        "isthmus_forecast_variance_hours,cause=sync_lag,state=unsaid",
        "isthmus_heartbeat_timestamp_seconds,stage=ingest",
    ):
        assert values[series] == 0, series
    assert values["isthmus_connector_state,connector=crm,isthmus_connector_state=starting"] == 1


def test_what_happens_is_counted_where_it_belongs(metrics: Metrics) -> None:
    metrics.received("crm", "deal.won", 3)
    metrics.called("crm", "POST", "throttled", 0.2)
    metrics.delivered("charges", 4.0)
    metrics.dead("charges", "period")
    metrics.state("crm", "parked")
    assert not any("certificate_expiry" in name for name in shown(metrics)), "0 would say that it expired"
    metrics.certified("crm", NOW)
    values = shown(metrics)
    expiry = "isthmus_connector_certificate_expiry_timestamp_seconds,connector=crm"
    assert values[expiry] == NOW.timestamp()
    assert values["isthmus_events_received_total,connector=crm,event_type=deal.won"] == 3
    assert values["isthmus_connector_requests_total,connector=crm,operation=post,outcome=throttled"] == 1
    assert values["isthmus_delivery_lag_seconds_bucket,lane=charges,le=1.0"] == 0
    assert values["isthmus_delivery_lag_seconds_bucket,lane=charges,le=5.0"] == 1
    assert values["isthmus_dead_letters_total,class=period,lane=charges"] == 1
    assert values["isthmus_deliveries_total,lane=charges,outcome=delivered"] == 1
    assert values["isthmus_deliveries_total,lane=charges,outcome=dead"] == 1
    assert values["isthmus_connector_state,connector=crm,isthmus_connector_state=starting"] == 0
    assert values["isthmus_connector_state,connector=crm,isthmus_connector_state=parked"] == 1


def test_a_word_of_a_peer_or_a_vendor_never_becomes_a_label(metrics: Metrics) -> None:
    before = set(shown(metrics))
    metrics.dead("charges", "Kunde Müller gesperrt")
    metrics.called("crm", "PROPFIND", "exploded", 1.0)
    metrics.attempted("charges", "strange", 2)
    metrics.refused("crm", "who knows", 1)
    metrics.logged("noise")
    assert set(shown(metrics)) == before
    assert shown(metrics)["isthmus_dead_letters_total,class=other,lane=charges"] == 1


def test_a_snapshot_shows_lanes_as_they_stand_and_those_left_out_at_zero(metrics: Metrics) -> None:
    metrics.prepare(["crm"], ["charges", "idle"], KINDS)
    lane = LaneSnapshot(open=5, scheduled=2, blocked=1, blocked_subjects=1, dead_letters=3, oldest_due_at=NOW)
    row = Unbilled(age="lt_3d", cause="blocked", entries=4, hours=Decimal("7.25"))
    metrics.snapshot(Snapshot(taken_at=NOW, lanes={"charges": lane, "idle": lane}, unbilled=(row,)))
    metrics.snapshot(
        Snapshot(taken_at=NOW, lanes={"charges": lane}, db_main_bytes=10, db_wal_bytes=2, unbilled=(row,))
    )
    values = shown(metrics)
    assert values["isthmus_outbox_deliveries,lane=charges,state=open"] == 5
    assert values["isthmus_outbox_deliveries,lane=idle,state=open"] == 0
    assert values["isthmus_outbox_oldest_due_timestamp_seconds,lane=charges"] == NOW.timestamp()
    assert values["isthmus_outbox_oldest_due_timestamp_seconds,lane=idle"] == 0
    assert values["isthmus_dead_letters_open,lane=charges"] == 3
    assert values["isthmus_unbilled_approved_hours,age=lt_3d,cause=blocked"] == 7.25
    assert values["isthmus_db_size_bytes,file=wal"] == 2
    assert values["isthmus_snapshot_timestamp_seconds"] == NOW.timestamp()


def test_what_is_configured_no_more_is_shown_no_more(metrics: Metrics) -> None:
    metrics.reads("crm", "accounts", 60)
    metrics.prepare(["erp"], ["charges"], KINDS)
    assert not [series for series in shown(metrics) if "connector=crm" in series]
    assert [series for series in shown(metrics) if "connector=erp" in series]


def test_a_busy_firm_stays_within_the_budget_of_series_and_time() -> None:
    metrics = Metrics()
    metrics.prepare([f"c{n}" for n in range(8)], [f"l{n}" for n in range(20)], KINDS)
    began = time.perf_counter()
    count = len(shown(metrics))
    assert 1000 < count <= 2500
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        pytest.param("", parse_text, id="text by default"),
        pytest.param("text/plain;version=0.0.4", parse_text, id="text when asked for"),
        pytest.param("application/openmetrics-text; version=1.0.0", parse_openmetrics, id="OpenMetrics"),
    ],
)
def test_a_scrape_parses_in_the_form_that_was_asked_for(metrics: Metrics, accept: str, parse: object) -> None:
    assert callable(parse)
    content, content_type = metrics.exposition(accept)
    names = {family.name for family in parse(content.decode())}
    assert {"isthmus_deliveries", "isthmus_delivery_lag_seconds", "isthmus_connector_state"} <= names
    assert ("openmetrics" in content_type) == ("openmetrics" in accept)


def test_start_time_and_memory_need_nothing_but_proc_self() -> None:
    code = (
        "from isthmus.ops.process_gauges import ProcessGauges\n"
        "print(*(sample.value for family in ProcessGauges().collect() for sample in family.samples))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    )
    before = time.time()
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    (started, resident, files), (kib,) = (map(float, line.split()) for line in ran.stdout.splitlines())
    assert before - 0.1 <= started <= time.time()
    assert 0.9 < resident / (kib * 1024) < 1.1
    assert 3 <= files < 20


def test_a_page_counts_its_kinds_its_repeats_and_what_could_not_be_read(metrics: Metrics) -> None:
    event = PeriodClosed(
        source="erp",
        occurred_at=NOW,
        entity="e",
        period="2026-10",
        starts_on=NOW.date(),
        ends_on=NOW.date(),
        ledger="ar",
    )
    watch = IntakeMetrics(metrics, "crm", lambda: NOW, every_s=30)
    watch.pulled(
        "accounts",
        Page(events=[event, event], next=b"1"),
        Recorded(new=1, duplicates=1, stale=0, refused=2),
    )
    values = shown(metrics)
    assert values["isthmus_events_received_total,connector=crm,event_type=period.closed"] == 2
    assert values["isthmus_events_duplicate_total,connector=crm"] == 1
    assert values["isthmus_events_refused_total,connector=crm,reason=untranslatable"] == 2
    assert (
        values["isthmus_poll_last_success_timestamp_seconds,connector=crm,stream=accounts"] == NOW.timestamp()
    )
    assert values["isthmus_cursor_timestamp_seconds,connector=crm,stream=accounts"] == NOW.timestamp()
    assert values["isthmus_poll_interval_seconds,connector=crm,stream=accounts"] == 30


def test_a_lane_counts_tries_receipts_and_dead_letters(metrics: Metrics) -> None:
    watch = LaneMetrics(metrics, lambda: NOW)
    watch.attempted("charges", "ok", 2)
    watch.delivered("charges", 700)
    watch.dead("charges", "cap")
    values = shown(metrics)
    assert values["isthmus_delivery_attempts_total,lane=charges,outcome=ok"] == 2
    assert values["isthmus_delivery_lag_seconds_bucket,lane=charges,le=900.0"] == 1
    assert values["isthmus_heartbeat_timestamp_seconds,stage=deliver"] == NOW.timestamp()


def a_run(**changes: Any) -> RunPage:
    """A comparison of 100 records."""
    figures: dict[str, Any] = {"timing": 0, "explained": 0, "drift": 0, "held": 0, "amounts": {}, "error": ""}
    return RunPage(
        run=1,
        pair="time",
        since=NOW.date(),
        until=NOW.date(),
        started_at=NOW,
        ended_at=NOW,
        by="reconcile",
        compared=100,
        matched=100,
        **{**figures, "differences": [], **changes},
    )


def a_line(kind: str, state: str) -> DifferenceLine:
    return DifferenceLine(
        id=1,
        pair="time",
        state=state,
        kind=kind,
        side="right",
        key="k",
        origin="",
        amount=None,
        currency=None,
        quantity=None,
        left=None,
        ours=None,
        right=None,
        cause="gone",
        words="",
        first_seen_at=NOW,
    )


def test_a_comparison_shows_what_is_open_and_what_was_explained_or_is_young(metrics: Metrics) -> None:
    lines = [a_line("missing", "drift"), a_line("double", "explained"), a_line("extra", "timing")]
    metrics.paired({"time": "acme-us"})
    assert isnan(shown(metrics)["isthmus_reconciliation_match_ratio,entity=acme-us,pair=time"])
    metrics.reconciled("time", "acme-us", a_run(differences=lines, amounts={"EUR": Decimal("12.50")}))
    at = "entity=acme-us,pair=time"
    values = shown(metrics)
    assert values[f"isthmus_reconciliation_match_ratio,{at}"] == 0.99
    kinds = ("missing", "double", "extra", "explained", "timing")
    name = "isthmus_reconciliation_mismatches_open,entity=acme-us"
    assert [values[f"{name},kind={kind},pair=time"] for kind in kinds] == [1, 0, 0, 1, 1]
    amount = "isthmus_reconciliation_mismatch_amount,currency=EUR,entity=acme-us,pair=time"
    assert values[amount] == 12.5
    metrics.reconciled("time", "acme-us", a_run())
    assert shown(metrics)[amount] == 0


def test_the_runbook_names_every_metric_with_its_labels_and_no_other(metrics: Metrics) -> None:
    metrics.running("1", "3")
    metrics.plugin("crm", plugin="p", version="1", api=(1, 0))
    metrics.reads("crm", "accounts", 60)
    metrics.restarted("crm")
    metrics.serves(["readFeed"])
    metrics.certified("crm", NOW)
    metrics.paired({"time": "acme-us"})
    metrics.reconciled("time", "acme-us", a_run(amounts={"EUR": Decimal(1)}))
    lag = Lag(state="unsaid", hours=Decimal(1), amounts={"EUR": Decimal(100)}, since=NOW)
    metrics.snapshot(Snapshot(taken_at=NOW, planner_lag=(lag,)))
    real = {}
    for family in parse_text(metrics.exposition()[0].decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        real[name] = " ".join(f"`{label}`" for label in sorted(labels)) or "-"
    table = re.findall(r"^\| `(isthmus_\w+)` \| (.+?) \| .+ \|$", RUNBOOK.read_text(), re.MULTILINE)
    assert dict(table) == real
