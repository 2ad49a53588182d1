"""Tells metrics and log what intake and lanes report; the stages themselves know nothing of either.

The log hears of a change once: when a stream stops giving pages and when it does again, when a delivery
becomes a dead letter. Normal work is silent.
"""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from isthmus.delivery.lane import LaneWatch
from isthmus.ingest.actor import Watch
from isthmus.ingest.record import Recorded
from isthmus.ops.metrics import Metrics
from isthmus.sdk.connector import Page

__all__ = ["IntakeMetrics", "LaneMetrics"]

log = logging.getLogger(__name__)


class IntakeMetrics(Watch):
    """Counts what the streams of one connector instance tell; ``every_s`` is how often they are read."""

    def __init__(
        self, metrics: Metrics, connector: str, now: Callable[[], datetime], *, every_s: float = 60.0
    ) -> None:
        self._metrics = metrics
        self._connector = connector
        self._now = now
        self._every_s = every_s
        self._failing: set[str] = set()

    def failed(self, stream: str, error: Exception) -> None:
        if stream not in self._failing:
            self._failing.add(stream)
            reason = f"{stream}: {error or type(error).__name__}"
            log.warning("stream.fails", extra={"connector": self._connector, "reason": reason})

    def pulled(self, stream: str, page: Page, recorded: Recorded) -> None:
        if stream in self._failing:
            self._failing.discard(stream)
            log.warning("stream.works", extra={"connector": self._connector, "reason": stream})
        if recorded.refused:
            reason = f"{stream}: {recorded.refused} payloads could not be translated; see: exception list"
            log.warning("payload.refused", extra={"connector": self._connector, "reason": reason})
        self._metrics.reads(self._connector, stream, self._every_s)
        for kind, n in Counter(event.kind for event in page.events).items():
            self._metrics.received(self._connector, kind, n)
        self._metrics.duplicates(self._connector, recorded.duplicates)
        self._metrics.refused(self._connector, "untranslatable", recorded.refused)
        self._metrics.refused(self._connector, "stale", recorded.stale)
        newest = max((event.occurred_at for event in page.events), default=None)
        self._metrics.polled(self._connector, stream, self._now(), newest)
        self._metrics.heartbeat("ingest", self._now())


class LaneMetrics(LaneWatch):
    """Counts what lanes do."""

    def __init__(self, metrics: Metrics, now: Callable[[], datetime]) -> None:
        self._metrics = metrics
        self._now = now

    def attempted(self, lane: str, outcome: str, n: int) -> None:
        self._metrics.attempted(lane, outcome, n)

    def delivered(self, lane: str, *lags_s: float) -> None:
        self._metrics.delivered(lane, *lags_s)
        self._metrics.heartbeat("deliver", self._now())

    def dead(self, lane: str, reason: str) -> None:
        log.warning("delivery.dead", extra={"lane": lane, "reason": f"{reason}; see: exception list"})
        self._metrics.dead(lane, reason)
