"""A history played twice, by the engine and by the reference, and what must hold after each fact."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargeHeld,
    ChargeReleased,
    ChargeWaived,
    RevenueDeferred,
    RevenueReleased,
    decode,
    encode,
)
from isthmus.process.rules.billing import Billing
from isthmus.process.states import MemoryStates
from tests.process.reference import Reference
from tests.process.reference_desk import MINOR, half_up

Json = dict[str, Any]


class Books:
    """What the engine's events say so far, kept as an ERP would keep it."""

    def __init__(self) -> None:
        self.states = MemoryStates()
        self.billing = Billing()
        self.derived: list[BusinessEvent] = []
        self.charges: list[ChargeDetermined] = []
        self.standing: dict[str, ChargeDetermined] = {}
        self.taken_back: dict[str, ChargeDetermined] = {}
        self.cancels: set[str] = set()
        self.net: dict[tuple[str, str, date], int] = {}
        self.holds: dict[str, ChargeHeld] = {}
        self.balances: dict[str, int] = {}
        self.waived: list[tuple[str, str, Fraction]] = []

    def take(self, fact: Json) -> list[BusinessEvent]:
        said = self.billing.apply(decode(json.dumps(fact)), self.states)
        self.waived = []
        for event in said:
            self._enter(event)
        self.derived += said
        return said

    def _enter(self, event: BusinessEvent) -> None:
        if isinstance(event, ChargeDetermined):
            self._charge(event)
        elif isinstance(event, ChargeHeld):
            self.holds[event.origin_key] = event
        elif isinstance(event, ChargeReleased):
            del self.holds[event.origin_key]
        elif isinstance(event, ChargeWaived):
            self.waived.append((event.origin_key, event.reason, Fraction(event.quantity)))
        elif isinstance(event, (RevenueDeferred, RevenueReleased)):
            sign = 1 if isinstance(event, RevenueDeferred) else -1
            key = event.origin_key
            self.balances[key] = self.balances.get(key, 0) + sign * units(event.amount, event.currency)
            assert units(event.balance, event.currency) == self.balances[key] >= 0

    def _charge(self, event: ChargeDetermined) -> None:
        assert event.charge not in self.standing, "a charge key is used once"
        self.charges.append(event)
        place = event.origin_key, event.line, event.posting_on
        self.net[place] = self.net.get(place, 0) + units(event.amount, event.currency)
        if event.reverses is None:
            self.standing[event.charge] = event
            return
        if event.reverses in self.taken_back:
            charge = self.taken_back.pop(event.reverses)
            self.cancels.add(event.charge)
            self.standing[charge.charge] = charge
            assert event.amount == charge.amount, "what cancels a reversal equals it"
            return
        charge = self.standing.pop(event.reverses)
        self.taken_back[event.charge] = charge
        assert event.amount == -charge.amount, "a reversal equals its charge"
        assert event.posting_on >= charge.posting_on, "a reversal never lies before its charge"
        for name in ("quantity", "unit_price", "line", "origin", "origin_key", "earned_on", "dimensions"):
            assert getattr(event, name) == getattr(charge, name)


def units(amount: Decimal, currency: str) -> int:
    return int(amount.scaleb(MINOR[currency]))


def play(facts: list[Json]) -> tuple[Books, list[Json]]:
    """Play a history; raise where books and reference part. Returns the books and the facts as told."""
    books, reference, told = Books(), Reference(), list[Json]()
    for fact in facts:
        if fact["type"] == "charge.overtaken/1":
            # A credit that a close overtakes leaves its line above the cap: a known limit.
            charges = [charge for charge in books.charges if charge.amount > 0 or charge.reverses]
            if not charges:
                continue
            fact, nth = overtaken(books.charges, charges[-1 - fact["nth"] % len(charges)], fact)
            reference_fact = {**fact, "nth": nth}
        else:
            reference_fact = fact
        said = books.take(fact)
        told.append(fact)
        reference.take(reference_fact)
        compare(books, reference)
        check_gate(said, books, reference)
        check_wholes(books)
    return books, told


def overtaken(charges: list[ChargeDetermined], charge: ChargeDetermined, fact: Json) -> tuple[Json, int]:
    """The fact that delivery records, and the place of the charge among those of its origin."""
    nth = [other.charge for other in charges if other.origin_key == charge.origin_key].index(charge.charge)
    told = {name: value for name, value in fact.items() if name != "nth"}
    told |= {
        "charge": charge.charge,
        "origin": charge.origin,
        "origin_key": charge.origin_key,
        "posting_on": str(charge.posting_on),
        "period": f"{charge.posting_on:%Y-%m}",
        "lane": "erp",
    }
    return told, nth


def compare(books: Books, reference: Reference) -> None:
    assert nonzero(books.net) == nonzero(reference.net), "the net per origin, line and posting day"
    assert sorted(books.waived) == sorted(reference.waived), "what is waived"
    assert nonzero(books.balances) == nonzero(reference.balances()), "what is deferred"
    wanted = reference.held()
    assert sorted(books.holds) == sorted(wanted), f"what is held: {sorted(books.holds)} not {sorted(wanted)}"
    for key, hold in books.holds.items():
        reasons, hours = wanted[key]
        assert hold.reason in reasons, f"why {key} is held: {hold.reason}, not {reasons}"
        if hold.origin == "time":
            said = None if hold.quantity is None else int(hold.quantity * 100)
            assert said == hours, f"how much of {key} is held"
    for pot, amount, cap in reference.pots():
        assert amount <= cap, f"{pot} is exceeded"


def check_gate(said: list[BusinessEvent], books: Books, reference: Reference) -> None:
    """Nothing posts into a closed period; what cancels an unsent reversal stands where that stood."""
    for event in said:
        if isinstance(event, ChargeDetermined) and event.charge not in books.cancels:
            assert not reference.period(event.posting_on), f"{event.origin_key} in a closed period"


def check_wholes(books: Books) -> None:
    """The parts of hours at one price sum to the rounded whole, once one that was not sent is made again."""
    parts: dict[tuple[str, str, str, Decimal], list[tuple[Decimal, Decimal, str]]] = {}
    for charge in books.standing.values():
        if charge.origin in ("time", "retainer_overage"):
            place = charge.origin_key, charge.contract, charge.line, charge.unit_price
            parts.setdefault(place, []).append((charge.quantity, charge.amount, charge.currency))
    for (key, *_, price), found in parts.items():
        if key in books.holds and books.holds[key].reason != "cap_reached":
            continue
        hours, amount = sum(part[0] for part in found), sum(part[1] for part in found)
        currency = found[0][2]
        exact = Fraction(hours) * Fraction(price) * 10 ** MINOR[currency]
        assert units(Decimal(amount), currency) == half_up(exact), f"the parts of {key}"


def nonzero(sums: dict[Any, int]) -> dict[Any, int]:
    return {key: amount for key, amount in sums.items() if amount}


def again(facts: list[Json]) -> bytes:
    """All that the engine derives from the facts."""
    books = Books()
    for fact in facts:
        books.take(fact)
    return encoded(books.derived)


def encoded(events: list[BusinessEvent]) -> bytes:
    return b"\n".join(encode(event) for event in events)
