"""The hand that writes for one cause: running totals, the queues of what is held, and what is derived."""

import base64
import hashlib
from decimal import Decimal

from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import ChargeDetermined, ChargeHeld, ChargeReleased, ChargeWaived
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.amounts import SoFar
from isthmus.process.rules.contracts import Ready, contract_row
from isthmus.process.rules.derive import Derivation
from isthmus.process.rules.rows import ZERO, Contract, Fact, Hold, Lots, Standing, Totals, Work

NAME = "billing"


def charge_key(contract: str, line: str, fact: Fact, revision: int, n: int) -> str:
    """30 bytes, short enough for the document fields of old ledgers: the same charge, the same key."""
    parts = "\x1f".join([contract, line, fact.origin, fact.key, str(revision), str(n)])
    digest = base64.b32encode(hashlib.sha256(parts.encode()).digest()).decode().lower()
    return f"{NAME}:ch{digest[:20]}"


def scheduled_index(contract: str) -> str:
    """What the contract made due, and its milestones that were billed; an amendment looks here."""
    return f"scheduled:{contract}"


def deferred_index(contract: str) -> str:
    """What was billed in advance and is not earned whole; month ends look here."""
    return f"deferred:{contract}"


def unreleased_index(entity: str, period: str) -> str:
    """What a closed period keeps from being released; its reopening looks here."""
    return f"unreleased:{entity}:{period}"


def worked_index(contract: str, month: str) -> str:
    """Time that was charged on a contract, by month of the work; re-rating looks here."""
    return f"worked:{contract}:{month}"


def fact_key(fact: Fact) -> str:
    """The key of the fact's row."""
    return f"{fact.origin}:{fact.key}"


def fact_words(work: Work, revision: int) -> str:
    """What is billed or not, as the first line of an explanation."""
    what = {
        "time": f"time {work.key} revision {revision}: {work.quantity:f} h {work.service} on",
        "expense": f"expense {work.key} revision {revision}: {work.category} on",
        "milestone": f"milestone {work.key} revision {revision} on",
    }
    return f"{what.get(work.origin, f'{work.origin} {work.key}, due on')} {work.done_on}"


class Books:
    """Rows and events of one cause.

    Running totals and queues are written as they move; events are collected in ``out`` in their order.
    """

    def __init__(self, cause: BusinessEvent, states: States) -> None:
        self.states = states
        self.out = Derivation(NAME, cause)
        self.freed: dict[tuple[str, str], None] = {}
        """Contract and pot of what was taken back and nobody looked at since, in order."""
        self.eased: dict[str, None] = {}
        """Contracts of which something was taken back, or wants to be."""
        self.owing: dict[str, None] = {}
        """Contracts whose deferred revenue changed: month ends matter to them, or no longer."""

    # Holds

    def release(self, fact: Fact, why: str) -> Fact:
        """End the fact's hold, if it has one."""
        hold = fact.hold
        if hold is None:
            return fact
        self._dequeue(fact, hold)
        self._tell(ChargeReleased, fact, hold, detail=why)
        return replace(fact, hold=None)

    def _hold(
        self,
        fact: Fact,
        reason: str,
        detail: str,
        quantity: Decimal | None,
        amount: Decimal | None,
        queues: list[str],
        entity: str | None = None,
    ) -> Fact:
        """Hold the fact, replacing an older hold; a hold that says the same is not said again."""
        hold = Hold(
            revision=fact.revision,
            reason=reason,
            detail=detail,
            entity=entity or fact.entity,
            quantity=quantity,
            amount=amount,
            queues=queues,
        )
        if fact.hold == hold:
            return fact
        if fact.hold is not None:
            self._dequeue(fact, fact.hold)
        for queue in queues:
            index.add(self.states, queue, fact.seq, fact_key(fact))
        self._tell(ChargeHeld, fact, hold, detail=detail)
        return replace(fact, hold=hold)

    def _dequeue(self, fact: Fact, hold: Hold) -> None:
        for queue in hold.queues:
            index.discard(self.states, queue, fact.seq)

    def _tell(
        self, make: type[ChargeHeld] | type[ChargeReleased], fact: Fact, hold: Hold, detail: str
    ) -> None:
        self.out.add(
            make,
            entity=hold.entity,
            origin=fact.origin,
            origin_key=fact.key,
            origin_revision=fact.revision,
            reason=hold.reason,
            detail=detail,
            quantity=hold.quantity,
            amount=hold.amount,
            project=fact.project,
        )

    # Rows and events

    def _key(self, fact: Fact, charge: Standing) -> str:
        return charge_key(charge.contract, charge.line, fact, charge.revision, fact.charged + 1)

    def _emit(
        self, fact: Fact, charge: Standing, words: list[str], reverses: str | None = None, sign: int = 1
    ) -> Fact:
        """Say one charge, or what takes one back; it is the fact's next."""
        self.out.add(
            ChargeDetermined,
            entity=charge.entity,
            charge=charge.charge if reverses is None else self._key(fact, charge),
            contract=charge.contract,
            line=charge.line,
            project=charge.project,
            origin=charge.origin,
            origin_key=fact.key,
            origin_revision=charge.revision,
            quantity=charge.quantity,
            unit_price=charge.unit_price,
            amount=sign * charge.amount,
            currency=charge.currency,
            earned_on=charge.earned_on,
            posting_on=charge.posting_on,
            dimensions=charge.dimensions,
            explanation=words,
            reverses=reverses,
            service=charge.service,
            customer=charge.customer,
            resource=charge.resource,
        )
        return replace(fact, charged=fact.charged + 1)

    def _waive(
        self, fact: Fact, work: Work, reason: str, quantity: Decimal, entity: str, words: list[str]
    ) -> None:
        """Say that a part of the work is not billed; ``words`` say why, after what it is."""
        self.out.add(
            ChargeWaived,
            entity=entity,
            origin=work.origin,
            origin_key=work.key,
            origin_revision=fact.revision,
            reason=reason,
            quantity=quantity,
            project=work.project,
            explanation=[fact_words(work, fact.revision), *words],
        )

    def _so_far(self, fact: Fact, ready: Ready, price: Decimal) -> SoFar:
        if not ready.plan.per_hour:
            return SoFar()  # money needs no rounding, so its parts owe each other nothing
        same = [
            charge
            for charge in fact.charges
            if (charge.contract, charge.line, charge.unit_price) == (ready.contract, ready.plan.line, price)
        ]
        return SoFar(
            quantity=sum((charge.quantity for charge in same), ZERO),
            amount=sum((charge.amount for charge in same), ZERO),
        )

    def _contract(self, key: str) -> Contract:
        row = contract_row(key, self.states)
        assert row is not None, "what was charged has its contract"
        return row

    def _used(self, contract: str, lot: str) -> Decimal:
        """Hours used of a lot; those of a retainer's periods stand in a row of their own."""
        line, _, period = lot.partition("@")
        if period:
            return (self.states.get(f"lots:{contract}:{line}", Lots) or Lots()).used.get(period, ZERO)
        return self._contract(contract).totals.get(lot, Totals()).included

    def _use(self, contract: str, lot: str, hours: Decimal) -> None:
        line, _, period = lot.partition("@")
        if not period:
            self._move(contract, lot, included=hours)
            return
        row = self.states.get(f"lots:{contract}:{line}", Lots) or Lots()
        used = {**row.used, period: row.used.get(period, ZERO) + hours}
        self.states.put(f"lots:{contract}:{line}", Lots(used=used))

    def _totals(self, ready: Ready) -> Totals:
        return self._contract(ready.contract).totals.get(ready.plan.pot, Totals())

    def _move(
        self,
        contract: str,
        pot: str,
        *,
        included: Decimal = ZERO,
        hours: Decimal = ZERO,
        amount: Decimal = ZERO,
    ) -> None:
        row = self._contract(contract)
        old = row.totals.get(pot, Totals())
        new = replace(
            old,
            included=old.included + included,
            hours=old.hours + hours,
            amount=old.amount + amount,
        )
        self.states.put(f"contract:{contract}", replace(row, totals={**row.totals, pot: new}))

    def _forget_worked(self, fact: Fact, charge: Standing) -> None:
        index.discard(self.states, worked_index(charge.contract, f"{charge.earned_on:%Y-%m}"), fact.seq)

    def _index_worked(self, fact: Fact, work: Work, contract: str) -> None:
        index.add(self.states, worked_index(contract, f"{work.done_on:%Y-%m}"), fact.seq, fact_key(fact))
        row = self._contract(contract)
        if row.last_worked_on is None or work.done_on > row.last_worked_on:
            self.states.put(f"contract:{contract}", replace(row, last_worked_on=work.done_on))
