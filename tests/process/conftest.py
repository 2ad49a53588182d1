"""A ledger that is told facts in short sentences and answers in short sentences.

Facts: ``time e1 r1 8.00 10-05 [consulting] [nonbillable]``, ``untime e1 r2``,
``expense x1 r1 100.00 10-05 [USD] [+10] [nonbillable]``, ``unexpense x1 r2``, ``milestone m1 r1 10-08``,
``reopen m1 r2``, ``close 10``, ``open 10``, ``project P1``, ``tick 11-01``, ``stage on_hold r1``. Days are of
2026, or written whole.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from inspect import iscoroutinefunction
from typing import Any

import pytest

from isthmus.events import (
    BusinessEvent,
    CalendarTicked,
    ChangeOrderStepped,
    ChargeDetermined,
    ChargeHeld,
    ChargeOvertaken,
    ChargeReleased,
    ChargeWaived,
    ContractAmended,
    ContractEnded,
    ContractLine,
    ContractSigned,
    DimensionsRevised,
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    PeriodClosed,
    PeriodReopened,
    ProjectCreated,
    ProjectStageChanged,
    RevenueDeferred,
    RevenueReleased,
    TimeApproved,
    TimeUnapproved,
    decode,
    encode,
)
from isthmus.process.rules.billing import Billing
from isthmus.process.states import MemoryStates
from tests.delivery.given import IN_VIRTUAL_TIME

AT = datetime(2026, 10, 1, 8, tzinfo=UTC)
ENDS = {"09": 30, "10": 31, "11": 30, "12": 31}


def day(text: str) -> date:
    return date.fromisoformat(text if len(text) == 10 else f"2026-{text}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Actors run in virtual time; the mark must stand before that of trio_mode."""
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.add_marker(IN_VIRTUAL_TIME, append=False)


class Ledger:
    """Billing over memory; ``told`` and ``derived`` are the log."""

    def __init__(self) -> None:
        self.states = MemoryStates()
        self.told: list[BusinessEvent] = []
        self.derived: list[BusinessEvent] = []
        self._said = 0

    def take(self, event: BusinessEvent) -> list[BusinessEvent]:
        self.told.append(event)
        out = Billing().apply(event, self.states)
        # What is derived must be readable again: the log keeps it for years.
        assert [decode(encode(each)) for each in out] == out
        self.derived += out
        return out

    def tell(self, sentence: str) -> list[str]:
        return sayings(self.take(self.event(sentence)))

    def sign(self, *lines: ContractLine, **changes: Any) -> list[str]:
        return sayings(self.take(ContractSigned(**self._terms(1, lines, changes))))

    def amend(self, revision: int, *lines: ContractLine, effective_on: str, **changes: Any) -> list[str]:
        terms = self._terms(revision, lines, changes)
        event = ContractAmended(**terms, effective_on=day(effective_on), reason="change order")
        return sayings(self.take(event))

    def end(self, ended_on: str) -> list[str]:
        event = ContractEnded(**self._envelope(), contract="C1", ended_on=day(ended_on), reason="done")
        return sayings(self.take(event))

    def map(self, revision: int, services: dict[str, Any], origins: dict[str, Any]) -> list[str]:
        event = DimensionsRevised(**self._envelope(), revision=revision, services=services, origins=origins)
        return sayings(self.take(event))

    def overtake(self, charge: ChargeDetermined, period: str = "2026-10") -> list[str]:
        """Delivery did not send a charge, its period being closed."""
        event = ChargeOvertaken(
            **self._envelope(),
            charge=charge.charge,
            origin=charge.origin,
            origin_key=charge.origin_key,
            posting_on=charge.posting_on,
            period=period,
            lane="erp",
        )
        return sayings(self.take(event))

    def charges(self, key: str) -> list[ChargeDetermined]:
        """All charges and reversals of an entry, in order."""
        return [
            event for event in self.derived if isinstance(event, ChargeDetermined) and event.origin_key == key
        ]

    def net(self, line: str | None = None, key: str | None = None) -> Decimal:
        return sum(
            (
                event.amount
                for event in self.derived
                if isinstance(event, ChargeDetermined)
                if (line is None or event.line == line) and (key is None or event.origin_key == key)
            ),
            Decimal(0),
        )

    def _envelope(self) -> dict[str, Any]:
        self._said += 1
        return {"source": "test", "occurred_at": AT, "entity": "de", "id": f"test/{self._said}"}

    def _terms(
        self, revision: int, lines: tuple[ContractLine, ...], changes: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            **self._envelope(),
            "contract": "C1",
            "revision": revision,
            "customer": "A",
            "project": "P1",
            "title": "Rollout",
            "currency": "EUR",
            "signed_on": day("09-20"),
            "starts_on": day("10-01"),
            "time_zone": "Europe/Berlin",
            "lines": list(lines),
            **changes,
        }

    def event(self, sentence: str) -> BusinessEvent:
        verb, *words = sentence.split()
        common = self._envelope()
        if verb in ("close", "open"):
            month, ledger = words[0], words[1] if len(words) > 1 else "ar"
            make = PeriodClosed if verb == "close" else PeriodReopened
            first, last = day(f"{month}-01"), day(f"{month}-{ENDS[month]}")
            return make(**common, period=f"2026-{month}", starts_on=first, ends_on=last, ledger=ledger)  # type: ignore[arg-type]
        if verb == "tick":
            zone = words[1] if len(words) > 1 else None
            return CalendarTicked(**common, day=day(words[0]), time_zone=zone)
        if verb == "stage":
            return ProjectStageChanged(
                **common,
                project="P1",
                stage=words[0],  # type: ignore[arg-type]
                previous="active",
                changed_on=day("10-15"),
                revision=int(words[1].removeprefix("r")),
            )
        if verb == "project":
            return ProjectCreated(**common, project=words[0], customer="A", name="Rollout", stage="planned")
        key, revision = words[0], int(words[1].removeprefix("r"))
        if verb == "untime":
            return TimeUnapproved(**common, entry=key, revision=revision, project="P1")
        if verb == "unexpense":
            return ExpenseWithdrawn(**common, expense=key, revision=revision, project="P1")
        if verb == "reopen":
            return MilestoneReopened(
                **common, milestone=key, project="P1", reopened_on=day("10-30"), revision=revision
            )
        if verb == "milestone":
            return MilestoneAchieved(
                **common, milestone=key, project="P1", achieved_on=day(words[2]), revision=revision
            )
        extra = words[4:]
        billable = "nonbillable" not in extra
        extra = [word for word in extra if word != "nonbillable"]
        if verb == "expense":
            markup = [Decimal(word) for word in extra if word.startswith("+")]
            currency = [word for word in extra if not word.startswith("+")]
            return ExpenseValidated(
                **common,
                expense=key,
                revision=revision,
                project="P1",
                resource="R1",
                category="travel",
                spent_on=day(words[3]),
                amount=Decimal(words[2]),
                currency=currency[0] if currency else "EUR",
                billable=billable,
                markup_pct=markup[0] if markup else None,
            )
        assert verb == "time", sentence
        return TimeApproved(
            **common,
            entry=key,
            revision=revision,
            project="P1",
            resource="R1",
            service=extra[0] if extra else "consulting",
            worked_on=day(words[3]),
            hours=Decimal(words[2]),
            billable=billable,
            approved_on=day(words[3]),
        )


def sayings(events: list[BusinessEvent]) -> list[str]:
    """What is derived, without the word to a change order that its terms govern."""
    return [
        say(event)
        for event in events
        if not (isinstance(event, ChangeOrderStepped) and event.state == "done")
    ]


def say(event: BusinessEvent) -> str:
    if isinstance(event, ChangeOrderStepped):
        return f"{event.change} {event.step} {event.state}"
    if isinstance(event, (RevenueDeferred, RevenueReleased)):
        verb = "defer" if isinstance(event, RevenueDeferred) else "earn"
        return f"{event.origin_key} {verb} {event.amount} on {event.on:%m-%d}, {event.balance} left"
    if isinstance(event, ChargeDetermined):
        later = "" if event.posting_on == event.earned_on else f" posted {event.posting_on:%m-%d}"
        if event.reverses:
            return f"{event.origin_key} reverse {event.line} {event.amount}{later}"
        product = f"{event.quantity} x {event.unit_price} = {event.amount}"
        return f"{event.origin_key} charge {event.line} {product}{later}"
    if isinstance(event, ChargeWaived):
        return f"{event.origin_key} waive {event.reason} {event.quantity}"
    if isinstance(event, ChargeHeld):
        quantity = "" if event.quantity is None else f" {event.quantity}"
        amount = "" if event.amount is None else f" ({event.amount})"
        return f"{event.origin_key} hold {event.reason}{quantity}{amount}"
    assert isinstance(event, ChargeReleased)
    return f"{event.origin_key} release {event.reason}"


@pytest.fixture
def make_ledger() -> Callable[[], Ledger]:
    return Ledger


@pytest.fixture
def ledger() -> Ledger:
    """A ledger that knows project P1."""
    book = Ledger()
    assert book.tell("project P1") == []
    return book
