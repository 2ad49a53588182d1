"""Every metric: its name, its labels, what it says. ``systemd/README.md`` has the same list for readers.

Labels come only from the configuration and from the closed sets below, never from data: no ids, customers,
projects, addresses, messages or people.
"""

from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

__all__ = [
    "AGES",
    "API_OUTCOMES",
    "ATTEMPT_OUTCOMES",
    "CAUSES",
    "CHANNELS",
    "CONNECTOR_STATES",
    "DEAD_LETTER_CLASSES",
    "DELIVERY_OUTCOMES",
    "LAG_STATES",
    "LEVELS",
    "MISMATCHES",
    "NOTICE_OUTCOMES",
    "OPERATIONS",
    "OUTBOX_STATES",
    "REFUSALS",
    "REQUEST_OUTCOMES",
    "STAGES",
    "SYNC_LAG",
    "Catalogue",
    "Stage",
]

Stage = Literal["ingest", "process", "deliver"]

API_OUTCOMES = ("ok", "refused", "denied", "limited", "failed")
CONNECTOR_STATES = ("starting", "running", "throttled", "broken", "paused", "parked")
OPERATIONS = ("get", "post", "put", "patch", "delete", "call")
REQUEST_OUTCOMES = ("ok", "retryable", "throttled", "rejected", "fatal", "unsure")
ATTEMPT_OUTCOMES = ("ok", "retryable", "throttled", "rejected", "fatal", "unsure", "crash")
DELIVERY_OUTCOMES = ("delivered", "dead")
REFUSALS = ("untranslatable", "stale")
DEAD_LETTER_CLASSES = (
    "value",
    "missing",
    "mapping",
    "period",
    "cap",
    "permission",
    "duplicate",
    "in_doubt",
    "other",
)
OUTBOX_STATES = ("open", "scheduled", "blocked")
CHANNELS = ("email", "webhook")
NOTICE_OUTCOMES = ("sent", "failed", "given_up", "gone")
STAGES: tuple[Stage, ...] = ("ingest", "process", "deliver")
LEVELS = ("debug", "info", "warning", "error", "critical")
AGES = ("lt_1d", "lt_3d", "lt_7d", "gt_7d")
CAUSES = ("in_flight", "blocked", "dead_letter")
LAG_STATES = ("unsaid", "undelivered", "dead_letter")
MISMATCHES = ("missing", "extra", "amount", "status", "stale", "double", "explained", "timing")
SYNC_LAG = "sync_lag"
"""The one cause of forecast variance that is ours to measure."""

LAG_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 900, 1800, 3600, 14400, 86400)
REQUEST_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
WRITE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
LOOP_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5)

M = TypeVar("M", bound=MetricWrapperBase)


class Catalogue:
    """The metrics themselves, in one registry. Only `isthmus.ops.metrics` touches their values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._all: list[MetricWrapperBase] = []

        # What runs.
        self.build = self._add(Info, "build", "Version of isthmus, Python and SQLite")
        self.connector = self._add(Info, "connector", "Plugin and SDK interface of a connector", "connector")

        # Peers.
        self.connector_state = self._add(
            Enum, "connector_state", "What a connector does now", "connector", states=list(CONNECTOR_STATES)
        )
        self.requests = self._add(
            Counter,
            "connector_requests",
            "Calls to a peer by how they ended",
            "connector",
            "operation",
            "outcome",
        )
        self.request_seconds = self._add(
            Histogram,
            "connector_request_duration_seconds",
            "How long a call to a peer took",
            "connector",
            buckets=REQUEST_BUCKETS,
        )
        self.throttled_seconds = self._add(
            Counter, "connector_throttled_seconds", "Time a peer made us rest", "connector"
        )
        self.certificate_until = self._add(
            Gauge,
            "connector_certificate_expiry_timestamp_seconds",
            "Until when the certificate a peer showed last is valid",
            "connector",
        )

        # Intake.
        self.polled_at = self._add(
            Gauge,
            "poll_last_success_timestamp_seconds",
            "When a stream was read last; 0 is never",
            "connector",
            "stream",
        )
        self.poll_interval = self._add(
            Gauge, "poll_interval_seconds", "How often a stream is read", "connector", "stream"
        )
        self.cursor_at = self._add(
            Gauge,
            "cursor_timestamp_seconds",
            "When the newest fact read from a stream occurred; 0 is none yet",
            "connector",
            "stream",
        )
        self.received = self._add(
            Counter, "events_received", "Facts a source told, repeats included", "connector", "event_type"
        )
        self.duplicates = self._add(Counter, "events_duplicate", "Facts that were known already", "connector")
        self.refused = self._add(
            Counter, "events_refused", "Payloads that became no applied fact", "connector", "reason"
        )

        # Delivery.
        self.attempts = self._add(
            Counter, "delivery_attempts", "Tries to deliver by how they ended", "lane", "outcome"
        )
        self.deliveries = self._add(
            Counter, "deliveries", "Deliveries that ended: with a receipt, or dead", "lane", "outcome"
        )
        self.lag_seconds = self._add(
            Histogram,
            "delivery_lag_seconds",
            "From a fact's record in the log to its receipt",
            "lane",
            buckets=LAG_BUCKETS,
        )
        self.outbox = self._add(Gauge, "outbox_deliveries", "Deliveries not done", "lane", "state")
        self.oldest_due_at = self._add(
            Gauge,
            "outbox_oldest_due_timestamp_seconds",
            "Since when the oldest delivery is due; 0 is none due",
            "lane",
        )
        self.blocked_subjects = self._add(
            Gauge, "outbox_blocked_subjects", "Business keys held behind a failure of theirs", "lane"
        )
        self.dead_open = self._add(Gauge, "dead_letters_open", "Dead letters nobody has solved", "lane")
        self.dead = self._add(Counter, "dead_letters", "Deliveries that became dead letters", "lane", "class")

        # People.
        self.notices = self._add(Counter, "notices", "Tries to tell an owner", "channel", "outcome")

        # Runtime and store.
        self.heartbeat_at = self._add(
            Gauge, "heartbeat_timestamp_seconds", "When a stage turned last", "stage"
        )
        self.db_size = self._add(Gauge, "db_size_bytes", "Size of the database's files", "file")
        self.db_write_seconds = self._add(
            Histogram,
            "db_write_duration_seconds",
            "How long a write transaction took, its wait included",
            buckets=WRITE_BUCKETS,
        )
        self.loop_lag_seconds = self._add(
            Histogram, "loop_lag_seconds", "How late the event loop turned", buckets=LOOP_BUCKETS
        )
        self.restarts = self._add(Counter, "actor_restarts", "Actors started again after a bug", "actor")
        self.snapshot_at = self._add(
            Gauge, "snapshot_timestamp_seconds", "How old backlog and business figures are"
        )
        self.log_messages = self._add(Counter, "log_messages", "Lines logged", "level")

        # Services.
        self.api_requests = self._add(
            Counter, "api_requests", "Requests to the services by how they ended", "operation", "outcome"
        )
        self.api_seconds = self._add(
            Histogram, "api_request_duration_seconds", "How long a request took", buckets=REQUEST_BUCKETS
        )

        # Business.
        self.unbilled_entries = self._add(
            Gauge, "unbilled_approved_entries", "Approved time entries not billed", "age", "cause"
        )
        self.unbilled_hours = self._add(
            Gauge, "unbilled_approved_hours", "Approved hours not billed", "age", "cause"
        )
        self.variance_hours = self._add(
            Gauge, "forecast_variance_hours", "Approved hours the planner does not have", "cause", "state"
        )
        self.variance_amount = self._add(
            Gauge,
            "forecast_variance_amount",
            "How much the planner's outlook is off for what it does not have",
            "cause",
            "currency",
            "state",
        )
        self.variance_since = self._add(
            Gauge,
            "forecast_variance_oldest_timestamp_seconds",
            "Since when the oldest of it is missing; 0 is none",
            "cause",
            "state",
        )

        # Control.
        self.reconciled_at = self._add(
            Gauge,
            "reconciliation_last_success_timestamp_seconds",
            "When a pair was compared last; 0 is never",
            "pair",
            "entity",
        )
        self.reconciled_records = self._add(
            Counter, "reconciliation_records_compared", "Records that were compared", "pair", "entity"
        )
        self.match_ratio = self._add(
            Gauge,
            "reconciliation_match_ratio",
            "Share of records that agree, or whose difference is explained; NaN before the first comparison",
            "pair",
            "entity",
        )
        self.mismatches = self._add(
            Gauge,
            "reconciliation_mismatches_open",
            "Records on which two systems do not agree",
            "pair",
            "entity",
            "kind",
        )
        self.mismatch_amount = self._add(
            Gauge,
            "reconciliation_mismatch_amount",
            "How much open mismatches are about",
            "pair",
            "entity",
            "currency",
        )

    def _add(self, kind: type[M], name: str, text: str, *labels: str, **more: object) -> M:
        metric = kind(name, text, labels, namespace="isthmus", registry=self._registry, **more)  # type: ignore[arg-type]
        self._all.append(metric)
        return metric

    def forget(self, label: str, value: str) -> None:
        """Drop every series with this label value; its connector or lane is configured no more."""
        for metric in self._all:
            if label in metric._labelnames:
                metric.remove_by_labels({label: value})
