"""One external system as the lanes see it: open or not, resting or not, broken or not.

The connector's actor opens it and hands it over; lanes wait here until it may be called.
"""

import logging
from datetime import datetime, timedelta
from typing import Literal

import trio

from isthmus.delivery.policy import Breaker
from isthmus.sdk.connector import Opened

log = logging.getLogger(__name__)

State = Literal["starting", "running", "throttled", "broken", "paused"]


class Peer:
    """A connector instance, shared by its actor and the lanes that end in it."""

    def __init__(self, instance: str, breaker: Breaker | None = None) -> None:
        self.instance = instance
        self.paused: str | None = None
        """Who paused it, and why."""
        self.breaker = breaker or Breaker()
        self.rest_until: datetime | None = None
        self.throttled_s = 0.0
        self.rests = 0
        """How often in a row it asked for a pause."""
        self.in_flight = 0
        """Calls of all its lanes."""
        self._opened: Opened | None = None
        self._changed = trio.Event()

    def handover(self, opened: Opened | None) -> None:
        """The actor opened the connector, or (None) is about to close it."""
        self._opened = opened
        self.changed()

    def changed(self) -> None:
        """Wake whoever waits for the state to change."""
        self._changed.set()
        self._changed = trio.Event()

    @property
    def opened(self) -> Opened | None:
        return self._opened

    async def wait_open(self) -> Opened:
        """The open connector, as soon as there is one."""
        while self._opened is None:
            await self._changed.wait()
        return self._opened

    async def wait_changed(self) -> None:
        await self._changed.wait()

    def rest(self, until: datetime, now: datetime) -> None:
        """The peer asked for a pause; the longest one asked for counts."""
        if self.rest_until is None or until > self.rest_until:
            begins = max(now, self.rest_until) if self.rest_until else now
            self.throttled_s += max(0.0, (until - begins).total_seconds())
            self.rests += begins == now
            self.rest_until = until

    def worked(self) -> None:
        """A call was answered without asking for a pause."""
        self.rests = 0

    def answered(self) -> None:
        """A call was answered, whatever the answer said."""
        if self.breaker.open_until is not None:
            log.warning("peer.answers", extra={"connector": self.instance})
        self.breaker = self.breaker.succeeded()

    def failed(self, now: datetime) -> None:
        """A call was not answered, or with a fault of the peer's own."""
        before, self.breaker = self.breaker, self.breaker.failed(now)
        if before.open_until is None and self.breaker.open_until is not None:
            reason = f"{self.breaker.failures} calls in a row got no answer; it is asked less often"
            log.warning("peer.silent", extra={"connector": self.instance, "reason": reason})

    def may_be_asked(self, now: datetime) -> bool:
        """Whether its source may be read: nobody paused it, and it asked for no rest."""
        return self.paused is None and (self.rest_until is None or now >= self.rest_until)

    def calls_allowed(self, now: datetime, in_flight: int, wanted: int) -> tuple[int, datetime | None]:
        """How many more calls may start now, and when to ask again if none.

        While the breaker is half open one call of all lanes tries.

        Args:
            in_flight: Calls of the lane that asks.
            wanted: The concurrency of the lane that asks.
        """
        if self.paused is not None or self._opened is None:
            return 0, None
        if not self.may_be_asked(now):
            return 0, self.rest_until
        match self.breaker.state(now):
            case "open":
                return 0, self.breaker.open_until
            case "half-open":
                return max(0, 1 - self.in_flight), now + timedelta(seconds=1)
        return max(0, wanted - in_flight), None

    def state(self, now: datetime) -> State:
        if self.paused is not None:
            return "paused"
        if self._opened is None:
            return "starting"
        if self.rest_until is not None and now < self.rest_until:
            return "throttled"
        return "running" if self.breaker.state(now) == "closed" else "broken"
