"""The desk where facts are determined: charges made and taken back, hours included, holds kept.

A `Desk` serves one cause. Its methods take a `Fact` and return it changed; running totals and queues are
written as they move, derived events are collected in ``out`` in the order they happen.
"""

import base64
import hashlib
from decimal import ROUND_FLOOR, Decimal

from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import ChargeDetermined, ChargeHeld, ChargeReleased, ChargeWaived
from isthmus.events.values import round_money
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.amounts import SoFar, fitting, next_amount
from isthmus.process.rules.contracts import (
    NotBillable,
    Ready,
    cap_queue,
    contract_row,
    judge,
    newest_terms,
    period_trouble,
    terms_queue,
)
from isthmus.process.rules.derive import Derivation
from isthmus.process.rules.periods import closed_on, first_open_day
from isthmus.process.rules.plan import Trouble, digits
from isthmus.process.rules.rows import ZERO, Consumed, Contract, Fact, Hold, Standing, Totals, Waiting, Work

NAME = "billing"


def charge_key(contract: str, line: str, work: Work, revision: int, n: int) -> str:
    """30 bytes, short enough for the document fields of old ledgers: the same charge, the same key."""
    parts = "\x1f".join([contract, line, work.origin, work.key, str(revision), str(n)])
    digest = base64.b32encode(hashlib.sha256(parts.encode()).digest()).decode().lower()
    return f"{NAME}:ch{digest[:20]}"


def worked_index(contract: str, month: str) -> str:
    """Time that was charged on a contract, by month of the work; re-rating looks here."""
    return f"worked:{contract}:{month}"


class Desk:
    """Determines facts for one cause."""

    def __init__(self, cause: BusinessEvent, states: States) -> None:
        self.states = states
        self.out = Derivation(NAME, cause)
        self.freed: dict[tuple[str, str], None] = {}
        """Contract and pot of what was taken back, in order."""

    # Taking back

    def blocked(self, fact: Fact, work: Work | None) -> Trouble | None:
        """The closed period that keeps ``work`` (None: a withdrawal) from taking the fact's place.

        A correction moves whole or not at all: neither a reversal without its replacement nor half of one.
        """
        assert fact.work is not None
        places = [(charge.contract, charge.entity, charge.posting_on) for charge in fact.charges]
        for consumed in fact.included:
            row = self._contract(consumed.contract)
            places.append((consumed.contract, row.entity, fact.work.done_on))
        for contract, entity, day in places:
            closed = closed_on(entity, day, self.states)
            policy = newest_terms(contract, self._contract(contract), self.states).period_policy
            if closed is not None and policy == "hold":
                return period_trouble(contract, entity, closed)
        verdict = judge(work, self.states) if work is not None else None
        return verdict if isinstance(verdict, Trouble) and verdict.reason == "period_closed" else None

    def wait(self, fact: Fact, work: Work | None, why: str, trouble: Trouble) -> Fact:
        """Let a correction wait whole; what stands keeps standing."""
        what = "the withdrawal" if work is None else f"what changed ({why})"
        detail = f"{trouble.detail}; {what} waits, earlier charges stand"
        quantity = work.quantity if work is not None and work.origin == "time" else None
        fact = replace(fact, waiting=Waiting(work=work, why=why))
        return self._hold(fact, trouble.reason, detail, quantity, None, list(trouble.queues))

    def take_back(self, fact: Fact, work: Work | None, why: str) -> Fact:
        """Reverse what stands, newest first, and put ``work`` in its place, undetermined."""
        for charge in reversed(fact.charges):
            fact = self._reverse(fact, charge, why)
        for consumed in fact.included:
            self._move(consumed.contract, consumed.pot, included=-consumed.hours)
            self.freed[consumed.contract, consumed.pot] = None
        fact = replace(fact, work=work, charges=[], included=[], determined=ZERO, settled=False, waiting=None)
        return fact if work is not None else self.release(fact, why)

    def _reverse(self, fact: Fact, charge: Standing, why: str) -> Fact:
        work = fact.work
        assert work is not None
        posting_on = first_open_day(charge.entity, charge.posting_on, self.states)
        words = [
            f"reverses {charge.charge}: {why}",
            f"{digits(-charge.amount, charge.currency)} {charge.currency}",
            f"posted on {posting_on}"
            + ("" if posting_on == charge.posting_on else f": the period of {charge.posting_on} is closed"),
        ]
        self._emit(fact, work, replace(charge, posting_on=posting_on), words, reverses=charge)
        if charge.pot is not None:
            hours = charge.quantity if work.origin == "time" else ZERO
            self._move(charge.contract, charge.pot, hours=-hours, amount=-charge.amount)
            self.freed[charge.contract, charge.pot] = None
        index.discard(self.states, worked_index(charge.contract, f"{charge.earned_on:%Y-%m}"), fact.seq)
        return replace(fact, charged=fact.charged + 1)

    # Determining

    def determine(self, fact: Fact) -> Fact:
        """Determine what is left of the fact's work: include, charge, write off or hold it."""
        work = fact.work
        assert work is not None
        verdict = judge(work, self.states)
        if isinstance(verdict, NotBillable):
            self._waive(fact, work, "not_billable", work.quantity, fact.entity)
            return self.release(replace(fact, determined=work.quantity, settled=True), "not billable")
        if isinstance(verdict, Trouble):
            rest = work.quantity - fact.determined if work.origin == "time" else None
            queues = list(verdict.queues) or [terms_queue(work.project)]
            return self._hold(fact, verdict.reason, verdict.detail, rest, None, queues)
        fact = self._include(fact, work, verdict)
        fact = self._charge_within(fact, work, verdict)
        rest = verdict.plan.total - fact.determined
        if rest and verdict.plan.overage == "hold":
            return self._hold_over(fact, verdict, rest)
        if rest and verdict.plan.overage == "bill":
            words = ["above the cap: billed at the overage rate, outside the cap"]
            fact = self._charge(fact, work, verdict, rest, verdict.plan.overage_price, None, words)
        elif rest:
            self._waive(fact, work, "over_cap", rest, verdict.entity)
            fact = replace(fact, determined=fact.determined + rest)
        return self.release(replace(fact, settled=True), "determined")

    def _include(self, fact: Fact, work: Work, ready: Ready) -> Fact:
        plan = ready.plan
        if plan.included_hours is None:
            return fact
        free = _down(plan.included_hours - self._totals(ready).included, plan.step)
        hours = min(plan.total - fact.determined, free)
        if hours <= 0:
            return fact
        self._waive(fact, work, "included", hours, ready.entity)
        self._move(ready.contract, plan.pot, included=hours)
        consumed = Consumed(contract=ready.contract, pot=plan.pot, hours=hours)
        return replace(fact, included=[*fact.included, consumed], determined=fact.determined + hours)

    def _charge_within(self, fact: Fact, work: Work, ready: Ready) -> Fact:
        plan, totals = ready.plan, self._totals(ready)
        rest = part = plan.total - fact.determined
        if not rest:
            return fact
        words: list[str] = []
        currency = ready.terms.currency
        if plan.cap_hours is not None:
            part = min(part, _down(plan.cap_hours - totals.hours, plan.step))
            if part < rest:
                words = [f"cap {plan.cap_hours} h, {totals.hours} h determined before"]
        # A credit (a negative expense) makes room, so no cap holds it up.
        if plan.cap_amount is not None and rest > 0:
            left = plan.cap_amount - totals.amount
            fits = fitting(self._so_far(fact, ready, plan.price), part, plan.price, currency, plan.step, left)
            if fits < part:
                part = fits
                before = digits(totals.amount, currency)
                words = [f"cap {digits(plan.cap_amount, currency)} {currency}, {before} determined before"]
        if part <= 0 < rest:
            return fact
        if words:
            words.append(f"{digits(rest - part, currency)} of {digits(rest, currency)} do not fit")
        return self._charge(fact, work, ready, part, plan.price, plan.pot, words)

    def _hold_over(self, fact: Fact, ready: Ready, rest: Decimal) -> Fact:
        plan, currency = ready.plan, ready.terms.currency
        amount = next_amount(self._so_far(fact, ready, plan.price), rest, plan.price, currency)
        totals = self._totals(ready)
        if plan.per_hour and (totals.cheapest is None or plan.price < totals.cheapest):
            row = self._contract(ready.contract)
            totals = replace(totals, cheapest=plan.price)
            self.states.put(
                f"contract:{ready.contract}", replace(row, totals={**row.totals, plan.pot: totals})
            )
        caps = [f"{digits(plan.cap_amount, currency)} {currency}"] if plan.cap_amount is not None else []
        caps += [f"{plan.cap_hours} h"] if plan.cap_hours is not None else []
        detail = f"the cap of line {plan.line}, {' and '.join(caps)}, leaves no room"
        queues = [cap_queue(ready.contract, plan.pot)]
        quantity = rest if plan.per_hour else None
        return self._hold(fact, "cap_reached", detail, quantity, amount, queues, ready.entity)

    def _charge(
        self,
        fact: Fact,
        work: Work,
        ready: Ready,
        part: Decimal,
        price: Decimal,
        pot: str | None,
        words: list[str],
    ) -> Fact:
        plan, currency = ready.plan, ready.terms.currency
        amount = next_amount(self._so_far(fact, ready, price), part, price, currency)
        shown = digits(amount, currency)
        sum_words = f"{part:f} h x {digits(price, currency)} = {shown} {currency}"
        if amount != round_money(part * price, currency):
            sum_words += ", so that the parts of this entry sum to its rounded whole"
        quantity, unit_price = (part, price) if plan.per_hour else (Decimal(1), amount)
        charge = Standing(
            charge=charge_key(ready.contract, plan.line, work, fact.revision, fact.charged + 1),
            contract=ready.contract,
            entity=ready.entity,
            line=plan.line,
            pot=pot,
            revision=fact.revision,
            quantity=quantity,
            unit_price=unit_price,
            amount=amount,
            rate=plan.price,
            currency=currency,
            customer=ready.customer,
            earned_on=work.done_on,
            posting_on=ready.posting_day,
            dimensions=plan.dimensions,
        )
        terms_words = f"contract {ready.contract} revision {ready.terms.revision}"
        total_words = sum_words if plan.per_hour else f"{shown} {currency}"
        explanation = [
            _fact_words(work, fact.revision),
            terms_words,
            *plan.words,
            *words,
            total_words,
            *ready.posting_words,
        ]
        self._emit(fact, work, charge, explanation)
        if pot is not None:
            self._move(ready.contract, pot, hours=part if plan.per_hour else ZERO, amount=amount)
            if amount < 0:
                self.freed[ready.contract, pot] = None
        if work.origin == "time":
            self._index_worked(fact, work, ready.contract)
        return replace(
            fact,
            charges=[*fact.charges, charge],
            charged=fact.charged + 1,
            determined=fact.determined + part,
        )

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

    def _emit(
        self, fact: Fact, work: Work, charge: Standing, words: list[str], reverses: Standing | None = None
    ) -> None:
        key = charge.charge
        if reverses is not None:
            key = charge_key(charge.contract, charge.line, work, charge.revision, fact.charged + 1)
        self.out.add(
            ChargeDetermined,
            entity=charge.entity,
            charge=key,
            contract=charge.contract,
            line=charge.line,
            project=work.project,
            origin=work.origin,
            origin_key=work.key,
            origin_revision=charge.revision,
            quantity=charge.quantity,
            unit_price=charge.unit_price,
            amount=-charge.amount if reverses is not None else charge.amount,
            currency=charge.currency,
            earned_on=charge.earned_on,
            posting_on=charge.posting_on,
            dimensions=charge.dimensions,
            explanation=words,
            reverses=reverses.charge if reverses is not None else None,
            service=work.service,
            customer=charge.customer,
            resource=work.resource,
        )

    def _waive(self, fact: Fact, work: Work, reason: str, quantity: Decimal, entity: str) -> None:
        self.out.add(
            ChargeWaived,
            entity=entity,
            origin=work.origin,
            origin_key=work.key,
            origin_revision=fact.revision,
            reason=reason,
            quantity=quantity,
            project=work.project,
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

    def _index_worked(self, fact: Fact, work: Work, contract: str) -> None:
        index.add(self.states, worked_index(contract, f"{work.done_on:%Y-%m}"), fact.seq, fact_key(fact))
        row = self._contract(contract)
        if row.last_worked_on is None or work.done_on > row.last_worked_on:
            self.states.put(f"contract:{contract}", replace(row, last_worked_on=work.done_on))


def fact_key(fact: Fact) -> str:
    """The key of the fact's row."""
    return f"{fact.origin}:{fact.key}"


def _down(value: Decimal, step: Decimal) -> Decimal:
    """``value`` without what is less than a ``step``; never below zero."""
    return max(value.quantize(step, ROUND_FLOOR), ZERO)


def _fact_words(work: Work, revision: int) -> str:
    what = {
        "time": f"time {work.key} revision {revision}: {work.quantity:f} h {work.service}",
        "expense": f"expense {work.key} revision {revision}: {work.category}",
        "milestone": f"milestone {work.key} revision {revision}",
    }
    return f"{what[work.origin]} on {work.done_on}"
