"""Planned faults: what goes wrong on a path, how often, and how.

=============  ========================================================================================
status         answer ``status`` with ``body``; nothing happens
throttle       answer 429 with Retry-After ``retry_after_s``; nothing happens
lose_response  do it, then break the connection before the first byte of the answer
late_commit    break the connection at once, do it ``delay_s`` later
delay          wait ``delay_s``, then do it and answer
drip           do it, answer one byte every ``delay_s``
truncate       do it, send half of the answer (none of it, where it has no body), break the connection
wrong_body     do it, answer 200 with ``body`` (empty where none is given)
=============  ========================================================================================
"""

from typing import Any, Literal

import msgspec

FaultKind = Literal[
    "status", "throttle", "lose_response", "late_commit", "delay", "drip", "truncate", "wrong_body"
]


class Match(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which requests: all that is given must fit. ``contains`` looks into the request body."""

    method: str | None = None
    path_prefix: str | None = None
    contains: str | None = None

    def fits(self, method: str, path: str, body: bytes) -> bool:
        return (
            (self.method is None or self.method.upper() == method)
            and (self.path_prefix is None or path.startswith(self.path_prefix))
            and (self.contains is None or self.contains.encode() in body)
        )


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One planned fault; it fires ``times`` times after the first ``skip`` requests that match."""

    fault: FaultKind
    match: Match = msgspec.field(default_factory=Match)
    times: int = 1
    skip: int = 0
    status: int = 503
    body: Any = None
    headers: dict[str, str] = {}
    retry_after_s: float | None = 1.0
    delay_s: float = 1.0
    fired: int = 0


class FaultPlan:
    """The faults that are still to fire."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, faults: list[Fault]) -> None:
        self.faults.extend(faults)

    def take(self, method: str, path: str, body: bytes) -> Fault | None:
        """The fault that this request meets, if any; counts it as fired."""
        for fault in self.faults:
            if fault.fired < fault.times and fault.match.fits(method, path, body):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.fired += 1
                return fault
        return None
