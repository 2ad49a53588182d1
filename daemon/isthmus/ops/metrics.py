"""Counts what happens. Callers name what happened; only this module knows prometheus_client.

A scrape does no SQL: backlog and business figures are set by `Metrics.snapshot`, which a task of the daemon
calls every few seconds, and a scrape shows how old they are.
"""

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from math import nan

import msgspec
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from isthmus.ops import catalogue
from isthmus.ops.catalogue import Catalogue, Stage
from isthmus.ops.process_gauges import ProcessGauges
from isthmus.ops.reconciling import RunPage

__all__ = ["Lag", "LaneSnapshot", "Metrics", "Snapshot", "Unbilled"]


class LaneSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane stands. ``scheduled`` wait for a retry, ``blocked`` for an older fact of their subject."""

    open: int = 0
    scheduled: int = 0
    blocked: int = 0
    blocked_subjects: int = 0
    dead_letters: int = 0
    oldest_due_at: datetime | None = None


class Unbilled(msgspec.Struct, frozen=True, kw_only=True):
    """Approved entries of one age and cause that no charge was posted for."""

    age: str
    """One of lt_1d lt_3d lt_7d gt_7d."""
    cause: str
    """One of in_flight blocked dead_letter."""
    entries: int
    hours: Decimal


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """What the planner does not have yet, in one state, and since when the oldest of it is missing."""

    state: str
    """One of unsaid undelivered dead_letter."""
    hours: Decimal
    amounts: dict[str, Decimal]
    """By currency."""
    since: datetime


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the store said at ``taken_at``; lanes and ages that are left out stand at 0."""

    taken_at: datetime
    lanes: Mapping[str, LaneSnapshot] = {}
    db_main_bytes: int = 0
    db_wal_bytes: int = 0
    unbilled: tuple[Unbilled, ...] | None = ()
    """None while it is still being counted: the gauges are then NaN, which no alert takes for a number."""
    planner_lag: tuple[Lag, ...] | None = ()
    """None likewise."""


class Metrics:
    """The daemon's figures. Methods never fail on an unknown word of a closed set: it counts as other."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # A creation time beside every counter would double the number of series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self._c = Catalogue(self.registry)
        self.registry.register(ProcessGauges())
        for state in catalogue.LAG_STATES:
            self._c.variance_hours.labels(catalogue.SYNC_LAG, state)
            self._c.variance_since.labels(catalogue.SYNC_LAG, state)
        self._currencies: set[str] = set()
        self._mismatched: dict[str, set[str]] = {}
        self._connectors: set[str] = set()
        self._lanes: set[str] = set()
        for stage in catalogue.STAGES:
            self._c.heartbeat_at.labels(stage)
        for file in ("main", "wal"):
            self._c.db_size.labels(file)
        for channel in catalogue.CHANNELS:
            for outcome in catalogue.NOTICE_OUTCOMES:
                self._c.notices.labels(channel, outcome)
        for level in catalogue.LEVELS:
            self._c.log_messages.labels(level)
        for age in catalogue.AGES:
            for cause in catalogue.CAUSES:
                self._c.unbilled_entries.labels(age, cause)
                self._c.unbilled_hours.labels(age, cause)

    def prepare(
        self,
        connectors: Collection[str],
        lanes: Collection[str],
        event_types: Mapping[str, Collection[str]] | Collection[str],
    ) -> None:
        """Create every series at 0, so that a first failure is an increase and not a new line.

        Called again after a reload; the series of connectors and lanes that are gone are dropped.

        Args:
            event_types: the kinds a source can tell, for all connectors or for each.
        """
        for gone in self._connectors - set(connectors):
            self._c.forget("connector", gone)
        for gone in self._lanes - set(lanes):
            self._c.forget("lane", gone)
        self._connectors, self._lanes = set(connectors), set(lanes)
        for connector in connectors:
            kinds = event_types.get(connector, ()) if isinstance(event_types, Mapping) else event_types
            self._prepare_connector(connector, kinds)
        for lane in lanes:
            self._prepare_lane(lane)

    def _prepare_connector(self, connector: str, kinds: Collection[str]) -> None:
        self._c.connector_state.labels(connector)
        self._c.request_seconds.labels(connector)
        self._c.throttled_seconds.labels(connector)
        self._c.duplicates.labels(connector)
        for operation in catalogue.OPERATIONS:
            for outcome in catalogue.REQUEST_OUTCOMES:
                self._c.requests.labels(connector, operation, outcome)
        for reason in catalogue.REFUSALS:
            self._c.refused.labels(connector, reason)
        for kind in kinds:
            self._c.received.labels(connector, kind)

    def _prepare_lane(self, lane: str) -> None:
        self._c.lag_seconds.labels(lane)
        self._c.oldest_due_at.labels(lane)
        self._c.blocked_subjects.labels(lane)
        self._c.dead_open.labels(lane)
        for outcome in catalogue.ATTEMPT_OUTCOMES:
            self._c.attempts.labels(lane, outcome)
        for outcome in catalogue.DELIVERY_OUTCOMES:
            self._c.deliveries.labels(lane, outcome)
        for state in catalogue.OUTBOX_STATES:
            self._c.outbox.labels(lane, state)
        for letter_class in catalogue.DEAD_LETTER_CLASSES:
            self._c.dead.labels(lane, letter_class)

    # What runs

    def running(self, version: str, sqlite: str) -> None:
        """The daemon started in this version."""
        self._c.build.info({"version": version, "python": platform.python_version(), "sqlite": sqlite})

    def plugin(self, connector: str, *, plugin: str, version: str, api: tuple[int, int]) -> None:
        """The plugin behind a connector instance."""
        text = f"{api[0]}.{api[1]}"
        self._c.connector.labels(connector).info({"plugin": plugin, "plugin_version": version, "api": text})

    # Peers

    def state(self, connector: str, state: str) -> None:
        """What a connector does now: one of starting running throttled broken paused parked."""
        self._c.connector_state.labels(connector).state(state)

    def called(self, connector: str, operation: str, outcome: str, seconds: float) -> None:
        """A call to a peer ended; ``operation`` is an HTTP method, or anything else for ``call``."""
        known = operation.lower() if operation.lower() in catalogue.OPERATIONS else "call"
        ended = outcome if outcome in catalogue.REQUEST_OUTCOMES else "retryable"
        self._c.requests.labels(connector, known, ended).inc()
        self._c.request_seconds.labels(connector).observe(seconds)

    def throttled(self, connector: str, seconds: float) -> None:
        """A peer asked for a rest of so many seconds."""
        self._c.throttled_seconds.labels(connector).inc(seconds)

    def certified(self, connector: str, until: datetime) -> None:
        """A peer showed a certificate. A peer without TLS has no series: 0 would say that it expired."""
        self._c.certificate_until.labels(connector).set(until.timestamp())

    # Intake

    def reads(self, connector: str, stream: str, every_s: float) -> None:
        """A stream is read from now on, every so many seconds."""
        self._c.poll_interval.labels(connector, stream).set(every_s)
        self._c.polled_at.labels(connector, stream)
        self._c.cursor_at.labels(connector, stream)

    def polled(self, connector: str, stream: str, at: datetime, newest: datetime | None = None) -> None:
        """A stream was read; ``newest`` is when its newest fact occurred, if it told any."""
        self._c.polled_at.labels(connector, stream).set(at.timestamp())
        if newest is not None:
            self._c.cursor_at.labels(connector, stream).set(newest.timestamp())

    def received(self, connector: str, kind: str, n: int = 1) -> None:
        """A source told ``n`` facts of a kind, repeats included."""
        self._c.received.labels(connector, kind).inc(n)

    def duplicates(self, connector: str, n: int) -> None:
        """So many of them were known already."""
        self._c.duplicates.labels(connector).inc(n)

    def refused(self, connector: str, reason: str, n: int = 1) -> None:
        """Payloads became no applied fact: ``untranslatable`` or ``stale``."""
        known = reason if reason in catalogue.REFUSALS else "untranslatable"
        self._c.refused.labels(connector, known).inc(n)

    # Delivery

    def attempted(self, lane: str, outcome: str, n: int = 1) -> None:
        """A call for ``n`` deliveries ended: ok retryable throttled rejected fatal unsure crash."""
        known = outcome if outcome in catalogue.ATTEMPT_OUTCOMES else "crash"
        self._c.attempts.labels(lane, known).inc(n)

    def delivered(self, lane: str, *lags_s: float) -> None:
        """Receipts were written, each so many seconds after its fact was recorded."""
        self._c.deliveries.labels(lane, "delivered").inc(len(lags_s))
        seconds = self._c.lag_seconds.labels(lane)
        for lag_s in lags_s:
            seconds.observe(lag_s)

    def dead(self, lane: str, reason: str) -> None:
        """A delivery became a dead letter."""
        known = reason if reason in catalogue.DEAD_LETTER_CLASSES else "other"
        self._c.deliveries.labels(lane, "dead").inc()
        self._c.dead.labels(lane, known).inc()

    def notified(self, channel: str, outcome: str) -> None:
        """A try to tell an owner ended: sent failed given_up gone."""
        self._c.notices.labels(channel, outcome).inc()

    # Control

    def paired(self, pairs: Mapping[str, str]) -> None:
        """Create the series of every pair; the legal entity by pair."""
        for pair, entity in pairs.items():
            self._c.reconciled_at.labels(pair, entity)
            self._c.reconciled_records.labels(pair, entity)
            self._c.match_ratio.labels(pair, entity).set(nan)
            for kind in catalogue.MISMATCHES:
                self._c.mismatches.labels(pair, entity, kind)

    def reconciled(self, pair: str, entity: str, page: RunPage) -> None:
        """Show how the newest comparison of a pair stands."""
        self._c.reconciled_at.labels(pair, entity).set(page.ended_at.timestamp())
        open_ones = sum(line.state == "drift" for line in page.differences)
        ratio = 1.0 if page.compared == 0 else max(0.0, 1 - open_ones / page.compared)
        self._c.match_ratio.labels(pair, entity).set(ratio)
        counts = Counter(line.kind if line.state == "drift" else line.state for line in page.differences)
        for kind in catalogue.MISMATCHES:
            self._c.mismatches.labels(pair, entity, kind).set(counts[kind])
        seen = self._mismatched.setdefault(pair, set())
        seen.update(page.amounts)
        for currency in seen:
            amount = float(page.amounts.get(currency, 0))
            self._c.mismatch_amount.labels(pair, entity, currency).set(amount)

    def compared(self, pair: str, entity: str, records: int) -> None:
        """So many records of a pair were compared."""
        self._c.reconciled_records.labels(pair, entity).inc(records)

    # Runtime

    def heartbeat(self, stage: Stage, at: datetime) -> None:
        """A stage turned."""
        self._c.heartbeat_at.labels(stage).set(at.timestamp())

    def wrote(self, seconds: float) -> None:
        """A write transaction ended."""
        self._c.db_write_seconds.observe(seconds)

    def loop_late(self, seconds: float) -> None:
        """The event loop turned this late."""
        self._c.loop_lag_seconds.observe(seconds)

    def restarted(self, actor: str) -> None:
        """An actor was started again."""
        self._c.restarts.labels(actor).inc()

    def logged(self, level: str) -> None:
        """A line was logged."""
        self._c.log_messages.labels(level if level in catalogue.LEVELS else "info").inc()

    # Services

    def serves(self, operations: Iterable[str]) -> None:
        """These operations are served from now on."""
        for operation in operations:
            for outcome in catalogue.API_OUTCOMES:
                self._c.api_requests.labels(operation, outcome)

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """A request to the services ended with an HTTP status."""
        outcome = "failed" if status >= 500 else "ok" if status < 400 else "refused"
        outcome = {401: "denied", 403: "denied", 429: "limited"}.get(status, outcome)
        self._c.api_requests.labels(operation, outcome).inc()
        self._c.api_seconds.observe(seconds)

    # What the store says, and what is shown

    def snapshot(self, taken: Snapshot) -> None:
        """Show what the store said; a lane that is configured and not in it stands at 0."""
        for lane in self._lanes:
            stands = taken.lanes.get(lane, LaneSnapshot())
            self._c.outbox.labels(lane, "open").set(stands.open)
            self._c.outbox.labels(lane, "scheduled").set(stands.scheduled)
            self._c.outbox.labels(lane, "blocked").set(stands.blocked)
            self._c.blocked_subjects.labels(lane).set(stands.blocked_subjects)
            self._c.dead_open.labels(lane).set(stands.dead_letters)
            due = stands.oldest_due_at
            self._c.oldest_due_at.labels(lane).set(due.timestamp() if due else 0)
        self._c.db_size.labels("main").set(taken.db_main_bytes)
        self._c.db_size.labels("wal").set(taken.db_wal_bytes)
        rows = {(row.age, row.cause): row for row in taken.unbilled or ()}
        none = nan if taken.unbilled is None else 0.0
        for age in catalogue.AGES:
            for cause in catalogue.CAUSES:
                row = rows.get((age, cause))
                self._c.unbilled_entries.labels(age, cause).set(row.entries if row else none)
                self._c.unbilled_hours.labels(age, cause).set(float(row.hours) if row else none)
        self._show_lag(taken.planner_lag)
        self._c.snapshot_at.set(taken.taken_at.timestamp())

    def _show_lag(self, found: tuple[Lag, ...] | None) -> None:
        """A currency that was seen once is shown from then on, at 0 where nothing is missing."""
        rows = {row.state: row for row in found or ()}
        none = nan if found is None else 0.0
        self._currencies |= {currency for row in rows.values() for currency in row.amounts}
        for state in catalogue.LAG_STATES:
            row = rows.get(state)
            self._c.variance_hours.labels(catalogue.SYNC_LAG, state).set(float(row.hours) if row else none)
            self._c.variance_since.labels(catalogue.SYNC_LAG, state).set(row.since.timestamp() if row else 0)
            for currency in self._currencies:
                amount = float(row.amounts.get(currency, 0)) if row else none
                self._c.variance_amount.labels(catalogue.SYNC_LAG, currency, state).set(amount)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """What a scrape gets, and its content type: OpenMetrics where ``accept`` asks for it, else text."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type
