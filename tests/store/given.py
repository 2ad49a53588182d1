"""Events and instants that tests of the store begin with."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.events import MilestoneAchieved, TimeApproved, TimeUnapproved

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=5)
LATER = NOW + timedelta(hours=1)


def approved(number: int, revision: int = 1, **changes: Any) -> TimeApproved:
    """Time entry ``number`` of project ``psa:p1``."""
    fields: dict[str, Any] = {
        "source": "psa",
        "occurred_at": NOW,
        "entity": "de01",
        "entry": f"psa:{number}",
        "revision": revision,
        "project": "psa:p1",
        "resource": "psa:r1",
        "service": "consulting",
        "worked_on": date(2026, 10, 29),
        "hours": Decimal("7.50"),
        "billable": True,
        "approved_on": date(2026, 10, 30),
    }
    return TimeApproved(**{**fields, **changes})


def unapproved(number: int, revision: int) -> TimeUnapproved:
    return TimeUnapproved(
        source="psa",
        occurred_at=NOW,
        entity="de01",
        entry=f"psa:{number}",
        revision=revision,
        project="psa:p1",
    )


def achieved(number: int, revision: int = 1) -> MilestoneAchieved:
    """Its type has a default revision, so nothing about it is ever stale."""
    return MilestoneAchieved(
        source="psa",
        occurred_at=NOW,
        entity="de01",
        milestone=f"psa:m{number}",
        project="psa:p1",
        achieved_on=date(2026, 10, 30),
        revision=revision,
    )
