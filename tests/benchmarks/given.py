"""What every benchmark is given: approved time, about 500 bytes an entry, some of it told twice."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.events import BusinessEvent, TimeApproved

AT = datetime(2026, 10, 30, 12, tzinfo=UTC)
EVENTS = 20_000
SUBJECTS = 500
PAGE = 500
REPEATS = 10
"""Events of the page before that each page tells again: 2 %."""
HISTORY = 1_000_000
HISTORY_FROM = 100_000
"""The first entry of the settled events; lower ones are measured with."""
INSTANCE = "psa"
STREAM = "time_entries"
LANE = "time-to-erp"
KINDS = frozenset({"time.approved"})
NOTE = "Workshop with the finance team; agreed the chart of accounts and the cut-over plan. "


def approval(entry: int, revision: int) -> TimeApproved:
    """One approved time entry."""
    return TimeApproved(
        source=INSTANCE,
        occurred_at=AT,
        entity="de01",
        entry=f"psa:{1_000_000 + entry}",
        revision=revision,
        project=f"crm:006A{entry % 40:05}",
        resource=f"psa:{entry % 60}",
        service="consulting",
        worked_on=date(2026, 10, 29),
        hours=Decimal("7.50"),
        billable=True,
        approved_on=date(2026, 10, 30),
        note=NOTE + NOTE[: 20 + revision % 40],
    )


def approvals(count: int = EVENTS, *, turn: int = 0) -> list[BusinessEvent]:
    """``count`` events of `SUBJECTS` entries in random order; of each entry the revisions grow.

    Args:
        turn: Another one gives other entries, so that a file can be measured with more than once.
    """
    chance = random.Random(turn)
    revisions = [0] * SUBJECTS
    events: list[BusinessEvent] = []
    for _ in range(count):
        entry = chance.randrange(SUBJECTS)
        revisions[entry] += 1
        events.append(approval(turn * SUBJECTS + entry, revisions[entry]))
    return events


def pages(events: Sequence[BusinessEvent]) -> Iterator[Sequence[BusinessEvent]]:
    """Pages as a source gives them: each begins with the last few events of the one before."""
    for start in range(0, len(events), PAGE):
        yield events[max(0, start - REPEATS) : start + PAGE]
