"""burn: approved hours per project, resource and day, as totals a planner can write twice."""

from datetime import date, datetime
from decimal import Decimal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.planning import BurnRevised
from isthmus.events.values import Amount, Key
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.process.face import States
from isthmus.process.rules.derive import statement

ZERO = Decimal("0.00")


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What one time entry adds, and to which day; ``burn`` is None while it is not approved."""

    revision: int
    burn: Key | None = None
    hours: Amount = ZERO
    billable: bool = True


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """The totals of one project, resource and day; ``published`` is what was said last."""

    entity: str
    project: Key
    resource: Key
    worked_on: date
    billable: Amount = ZERO
    nonbillable: Amount = ZERO
    published: tuple[Amount, Amount] | None = None


class BurnProcess:
    """Analytical: one ``burn.revised`` per project, resource and day in the lag window."""

    name = "burn"
    consumes = frozenset({"time.approved", "time.unapproved"})

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        assert isinstance(event, (TimeApproved, TimeUnapproved))
        key = f"entry:{event.entry}"
        old = states.get(key, Booked)
        if old is not None and event.revision <= old.revision:
            return set()
        new = Booked(revision=event.revision)
        if isinstance(event, TimeApproved):
            burn = f"{event.project}|{event.resource}|{event.worked_on}"
            new = Booked(revision=event.revision, burn=burn, hours=event.hours, billable=event.billable)
            if states.get(f"burn:{burn}", Burn) is None:
                states.put(
                    f"burn:{burn}",
                    Burn(
                        entity=event.entity,
                        project=event.project,
                        resource=event.resource,
                        worked_on=event.worked_on,
                    ),
                )
        states.put(key, new)
        dirty: set[str] = set()
        for booked, sign in ((old, -1), (new, 1)):
            if booked is not None and booked.burn is not None:
                _add(states, booked, sign)
                dirty.add(booked.burn)
        return dirty

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        row = states.get(f"burn:{key}", Burn)
        if row is None or (row.billable, row.nonbillable) == (row.published or (ZERO, ZERO)):
            return []
        states.put(f"burn:{key}", msgspec.structs.replace(row, published=(row.billable, row.nonbillable)))
        return [
            statement(
                BurnRevised,
                process=self.name,
                key=key,
                said_at=as_of,
                basis=basis,
                entity=row.entity,
                burn=key,
                project=row.project,
                resource=row.resource,
                worked_on=row.worked_on,
                billable_hours=row.billable,
                nonbillable_hours=row.nonbillable,
            )
        ]


def _add(states: States, booked: Booked, sign: int) -> None:
    key = f"burn:{booked.burn}"
    row = states.get(key, Burn)
    assert row is not None, "a booked entry has its day"
    hours = sign * booked.hours
    if booked.billable:
        row = msgspec.structs.replace(row, billable=row.billable + hours)
    else:
        row = msgspec.structs.replace(row, nonbillable=row.nonbillable + hours)
    states.put(key, row)
