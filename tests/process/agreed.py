"""Contract C1 on project P1 and what billing says of it, in as few words as a test needs."""

from datetime import UTC, date, datetime
from decimal import Decimal as D
from itertools import count
from typing import Any

from isthmus.events import (
    ChargeDetermined,
    ChargeHeld,
    ChargeReleased,
    ContractAmended,
    ContractEnded,
    ContractLine,
    ContractSigned,
    FixedFee,
    Installment,
    MilestoneAchieved,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    ProjectStageChanged,
    Retainer,
    Subscription,
    TimeAndMaterials,
    TimeApproved,
    TimeUnapproved,
)

AT = datetime(2026, 10, 1, 8, tzinfo=UTC)
_numbers = count(1)

FEE = FixedFee(
    line="F",
    amount=D("900.00"),
    installments=[
        Installment(key="1", due_on=date(2026, 10, 1), amount=D("300.00")),
        Installment(key="2", due_on=date(2026, 12, 1), amount=D("600.00")),
    ],
)
STEPS = Milestones(
    line="M",
    milestones=[
        MilestoneTerm(milestone="m1", title="Kick-off", amount=D("100.00"), advance=True),
        MilestoneTerm(milestone="m2", title="Go live", amount=D("200.00"), planned_on=date(2026, 11, 15)),
        MilestoneTerm(milestone="m3", title="Hand-over", amount=D("400.00")),
    ],
)
CARE = Retainer(
    line="R",
    amount=D("50.00"),
    every="month",
    starts_on=date(2026, 10, 31),
    included_hours=D("5.00"),
    overage_rate=D("100.00"),
    ends_on=date(2027, 1, 15),
)
LICENCE = Subscription(line="S", amount=D("31.00"), every="month", starts_on=date(2026, 10, 11))
HOURS = TimeAndMaterials(line="T", default_rate=D("100.00"), cap_amount=D("1000.00"))


def told(**changes: Any) -> dict[str, Any]:
    return {"id": f"told/{next(_numbers)}", "source": "test", "occurred_at": AT, "entity": "de", **changes}


def terms(revision: int, *lines: ContractLine, **changes: Any) -> dict[str, Any]:
    given = {
        "contract": "C1",
        "revision": revision,
        "customer": "A",
        "project": "P1",
        "title": "Rollout",
        "currency": "EUR",
        "signed_on": date(2026, 9, 20),
        "starts_on": date(2026, 10, 1),
        "time_zone": "Europe/Berlin",
        "lines": list(lines),
    }
    return {**told(), **given, **changes}


def signed(*lines: ContractLine, **changes: Any) -> ContractSigned:
    return ContractSigned(**terms(1, *lines, **changes))


def amended(revision: int, *lines: ContractLine, **changes: Any) -> ContractAmended:
    given = terms(revision, *lines, **changes)
    return ContractAmended(**given, effective_on=date(2026, 11, 1), reason="change order")


def ended(day: str) -> ContractEnded:
    return ContractEnded(**told(), contract="C1", ended_on=date.fromisoformat(day), reason="done")


def stage(now: Any, revision: int) -> ProjectStageChanged:
    return ProjectStageChanged(
        **told(), project="P1", stage=now, previous="active", changed_on=date(2026, 11, 1), revision=revision
    )


def created(project: str) -> ProjectCreated:
    return ProjectCreated(
        **told(),
        project=project,
        name="Rollout",
        customer="A",
        currency="EUR",
        starts_on=date(2026, 10, 1),
        billing="time_and_materials",
        stage="active",
        revision=1,
    )


def worked(
    number: int, on: date = date(2026, 10, 5), *, project: str = "P1", hours: str = "1.00"
) -> TimeApproved:
    """One hour of consulting; each number is an entry of its own."""
    return TimeApproved(
        **told(),
        entry=f"psa:{number}",
        revision=1,
        project=project,
        resource="R1",
        service="consulting",
        worked_on=on,
        hours=D(hours),
        billable=True,
        approved_on=on,
    )


def unapproved(number: int, *, project: str = "P1") -> TimeUnapproved:
    return TimeUnapproved(
        **told(), entry=f"psa:{number}", revision=2, project=project, reason="wrong project"
    )


def achieved(milestone: str, day: str) -> MilestoneAchieved:
    on = date.fromisoformat(day)
    return MilestoneAchieved(**told(), milestone=milestone, project="P1", achieved_on=on)


def charged(origin: Any, key: str, amount: str, day: str, line: str, **changes: Any) -> ChargeDetermined:
    given = {
        "charge": f"ch{next(_numbers)}",
        "contract": "C1",
        "line": line,
        "project": "P1",
        "origin": origin,
        "origin_key": key,
        "origin_revision": 1,
        "quantity": D(1),
        "unit_price": abs(D(amount)),
        "amount": D(amount),
        "currency": "EUR",
        "earned_on": date.fromisoformat(day),
        "posting_on": date.fromisoformat(day),
        "dimensions": {},
        "explanation": [],
    }
    return ChargeDetermined(**told(), **{**given, **changes})


def held(origin: Any, key: str, *, reason: str = "period_closed", revision: int = 1) -> ChargeHeld:
    return ChargeHeld(**_hold(origin, key, reason, revision))


def released(origin: Any, key: str, *, revision: int = 1) -> ChargeReleased:
    return ChargeReleased(**_hold(origin, key, "determined", revision))


def _hold(origin: Any, key: str, reason: str, revision: int) -> dict[str, Any]:
    given = {"origin": origin, "origin_key": key, "origin_revision": revision, "reason": reason}
    return {**told(), **given, "detail": reason, "project": "P1"}
