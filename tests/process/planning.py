"""Short sentences about planning, and a window that folds facts as the actor does between two statements.

``plan A R1 consulting 10-05 10-16 8.00 [tentative] [r2]``, ``unplan A 10-12 [r3]``,
``resource R1 40.00 [r2] [inactive] [since 11-02]``. Days are of 2026, or written whole.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec

from isthmus.events import (
    AssignmentChanged,
    AssignmentEnded,
    BusinessEvent,
    ResourceChanged,
    decode,
    encode,
)
from isthmus.process.face import AnalyticalProcess
from isthmus.process.states import MemoryStates

NOW = datetime(2026, 10, 9, 12, tzinfo=UTC)
_numbers = count(1)


def day(text: str) -> date:
    return date.fromisoformat(text if len(text) == 10 else f"2026-{text}")


def planning(sentence: str, *, project: str = "P1") -> BusinessEvent:
    verb, key, *words = sentence.split()
    revision = next((int(word[1:]) for word in words if word[0] == "r" and word[1:].isdigit()), 1)
    at = words[words.index("since") + 1] if "since" in words else "10-01"
    common: dict[str, Any] = {
        "id": f"planned/{next(_numbers)}",
        "source": "planner",
        "entity": "de",
        "occurred_at": datetime.combine(day(at), datetime.min.time(), UTC),
        "revision": revision,
    }
    if verb == "unplan":
        return AssignmentEnded(**common, assignment=key, ended_on=day(words[0]))
    if verb == "resource":
        return ResourceChanged(
            **common,
            resource=key,
            name=key,
            capacity_hours_week=Decimal(words[0]),
            status="inactive" if "inactive" in words else "active",
        )
    assert verb == "plan", sentence
    resource, service, starts_on, ends_on, hours = words[:5]
    return AssignmentChanged(
        **common,
        assignment=key,
        resource=resource,
        project=project,
        service=service,
        starts_on=day(starts_on),
        ends_on=day(ends_on),
        hours_per_day=Decimal(hours),
        tentative="tentative" in words,
    )


class Window:
    """Folds facts and publishes when told."""

    def __init__(self, process: AnalyticalProcess) -> None:
        self.process = process
        self.states = MemoryStates()
        self.dirty: dict[str, list[str]] = {}

    def take(self, *events: BusinessEvent) -> None:
        for event in events:
            if event.kind in self.process.consumes:
                for key in sorted(self.process.apply(event, self.states)):
                    self.dirty.setdefault(key, []).append(event.id)

    def publish(self, as_of: datetime = NOW) -> list[Any]:
        dirty, self.dirty = self.dirty, {}
        said = [
            event
            for key, basis in dirty.items()
            for event in self.process.publish(key, self.states, as_of, basis)
        ]
        assert [decode(encode(event)) for event in said] == said
        return said


def in_windows(
    process: AnalyticalProcess, facts: Sequence[BusinessEvent], *sizes: int
) -> dict[str, dict[str, Any]]:
    """What was said last of each subject, without what tells the facts apart it was made of."""
    window, last = Window(process), {}
    rest = list(facts)
    for size in [*sizes, len(facts)]:
        window.take(*rest[:size])
        rest = rest[size:]
        for event in window.publish():
            last[event.subject] = event
    return {subject: content(event) for subject, event in last.items()}


def content(event: BusinessEvent) -> dict[str, Any]:
    """What a statement says of its subject."""
    said: dict[str, Any] = msgspec.json.decode(encode(event))
    return {
        name: value for name, value in said.items() if name not in ("id", "correlation", "causation", "basis")
    }
