"""The desk where facts are determined: charges made and taken back, hours included, holds kept.

A `Desk` serves one cause. Its methods take a `Fact` and return it changed.
"""

from datetime import date
from decimal import ROUND_FLOOR, Decimal

from msgspec.structs import replace

from isthmus.events.contract import TimeAndMaterials
from isthmus.events.values import round_money
from isthmus.process.rules import deferral, index
from isthmus.process.rules.amounts import fitting, next_amount
from isthmus.process.rules.books import (
    Books,
    charge_key,
    deferred_index,
    fact_key,
    fact_words,
    scheduled_index,
    unreleased_index,
)
from isthmus.process.rules.contracts import (
    NotBillable,
    Ready,
    cap_queue,
    judge,
    newest_line,
    newest_terms,
    period_trouble,
    terms_queue,
    today_of,
)
from isthmus.process.rules.periods import closed_on, first_open_day
from isthmus.process.rules.plan import Trouble, digits
from isthmus.process.rules.rerating import HOURLY
from isthmus.process.rules.rows import (
    SCHEDULED,
    ZERO,
    Consumed,
    Deferred,
    Fact,
    Reversed,
    Standing,
    Totals,
    Waiting,
    Work,
)

REVERSALS_KEPT = 50
"""Only a reversal that is still on its way can be overtaken; a fact is not corrected so often meanwhile."""


class Desk(Books):
    """Determines facts for one cause."""

    # Taking back

    def blocked(self, fact: Fact, work: Work | None) -> Trouble | None:
        """What keeps ``work`` (None: a withdrawal) from taking the fact's place: a closed period, or the cap.

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
        if isinstance(verdict, Trouble) and verdict.reason == "period_closed":
            return verdict
        return self._used_by_others(fact, verdict if isinstance(verdict, Ready) else None)

    def _used_by_others(self, fact: Fact, instead: Ready | None) -> Trouble | None:
        """A credit whose room other expenses have used: without it the line would lie above its cap."""
        for charge in fact.charges:
            if charge.amount >= 0 or charge.pot is None:
                continue
            contract = self._contract(charge.contract)
            line = newest_line(charge.contract, contract, charge.line, self.states)
            cap = line.expense_cap if isinstance(line, TimeAndMaterials) else None
            after = contract.totals.get(charge.pot, Totals()).amount - charge.amount
            if instead is not None and (instead.contract, instead.plan.pot) == (charge.contract, charge.pot):
                after += min(instead.plan.total, ZERO)
            if cap is not None and after > cap:
                detail = (
                    f"other expenses have used the room that {digits(charge.amount, charge.currency)} made; "
                    f"raise lines.{charge.line}.expense_cap, or have expenses corrected"
                )
                queues = (cap_queue(charge.contract, charge.pot),)
                return Trouble(reason="cap_reached", detail=detail, queues=queues)
        return None

    def drop_change(self, fact: Fact, why: str) -> Fact:
        """A correction that waited is not needed any more; what stands keeps standing."""
        fact = replace(fact, waiting=None)
        return self.release(fact, why) if fact.settled else self.determine(fact)

    def wait(self, fact: Fact, work: Work | None, why: str, trouble: Trouble) -> Fact:
        """Let a correction wait whole; what stands keeps standing."""
        what = "the withdrawal" if work is None else f"what changed ({why})"
        detail = f"{trouble.detail}; {what} waits, earlier charges stand"
        quantity = work.quantity if work is not None and work.origin == "time" else None
        fact = replace(fact, waiting=Waiting(work=work, why=why))
        # Terms that wait for less to be billed may bring a policy that lets the correction through.
        self.eased |= {charge.contract: None for charge in fact.charges}
        return self._hold(fact, trouble.reason, detail, quantity, None, list(trouble.queues))

    def take_back(self, fact: Fact, work: Work | None, why: str) -> Fact:
        """Reverse what stands, newest first, and put ``work`` in its place, undetermined."""
        for charge in reversed(fact.charges):
            fact = self._reverse(fact, charge, why)
            self._forget_worked(fact, charge)
        for consumed in fact.included:
            self._use(consumed.contract, consumed.lot, -consumed.hours)
            self.freed[consumed.contract, consumed.lot] = None
        fact = replace(fact, work=work, charges=[], included=[], determined=ZERO, settled=False, waiting=None)
        return fact if work is not None else self.release(fact, why)

    def reverse_one(self, fact: Fact, charge: Standing, why: str) -> Fact:
        """Reverse one of the fact's charges; its part of the work is undetermined again."""
        fact = self._reverse(fact, charge, why)
        if len(fact.charges) == 1:
            self._forget_worked(fact, charge)
        part = charge.quantity if charge.origin in HOURLY else charge.amount
        return replace(
            fact,
            charges=[other for other in fact.charges if other.charge != charge.charge],
            determined=fact.determined - part,
            settled=False,
        )

    def say_again(self, fact: Fact, said: Reversed, why: str) -> Fact:
        """A reversal was not sent: it is cancelled, and said again on the first open day."""
        charge = said.of
        words = [
            f"cancels {said.charge}: {why}",
            f"{digits(charge.amount, charge.currency)} {charge.currency}",
        ]
        place = replace(charge, posting_on=said.posting_on)
        fact = self._emit(fact, place, words, reverses=said.charge, sign=1)
        return self._reverse(replace(fact, reversed=_without(fact.reversed, said)), charge, why, moved=True)

    def _reverse(self, fact: Fact, charge: Standing, why: str, *, moved: bool = False) -> Fact:
        """
        Args:
            moved: The running totals know already that the charge is gone.
        """
        posting_on = first_open_day(charge.entity, charge.posting_on, self.states)
        words = [
            f"reverses {charge.charge}: {why}",
            f"{digits(-charge.amount, charge.currency)} {charge.currency}",
            f"posted on {posting_on}"
            + ("" if posting_on == charge.posting_on else f": the period of {charge.posting_on} is closed"),
        ]
        key = self._key(fact, charge)
        fact = self._emit(
            fact, replace(charge, posting_on=posting_on), words, reverses=charge.charge, sign=-1
        )
        said = Reversed(charge=key, of=charge, posting_on=posting_on)
        fact = replace(fact, reversed=[*fact.reversed, said][-REVERSALS_KEPT:])
        if moved:
            return fact
        if charge.pot is not None:
            hours = charge.quantity if charge.origin in HOURLY else ZERO
            self._move(charge.contract, charge.pot, hours=-hours, amount=-charge.amount)
            self.freed[charge.contract, charge.pot] = None
        if fact.deferred is not None and fact.deferred.charge == charge.charge:
            fact = deferral.take_back(self.out, fact, posting_on)
            index.discard(self.states, deferred_index(charge.contract), fact.seq)
        return fact

    # Determining

    def determine(self, fact: Fact) -> Fact:
        """Determine what is left of the fact's work: include, charge, write off or hold it."""
        work = fact.work
        assert work is not None
        verdict = judge(work, self.states)
        if isinstance(verdict, NotBillable):
            words = ["approved as not billable"]
            self._waive(fact, work, "not_billable", work.quantity, fact.entity, words)
            return self.release(replace(fact, determined=work.quantity, settled=True), "not billable")
        if isinstance(verdict, Trouble):
            rest = work.quantity - fact.determined if work.origin == "time" else None
            amount = work.quantity if work.origin in SCHEDULED else None
            queues = list(verdict.queues) or [terms_queue(work.project)]
            return self._hold(fact, verdict.reason, verdict.detail, rest, amount, queues)
        fact = self._include(fact, work, verdict)
        fact = self._charge_within(fact, work, verdict)
        rest = verdict.plan.total - fact.determined
        if rest and verdict.plan.overage == "hold":
            return self._hold_over(fact, verdict, rest)
        if rest and verdict.plan.overage == "bill":
            words = ["above the cap: billed at the overage rate, outside the cap"]
            fact = self._charge(fact, work, verdict, rest, verdict.plan.overage_price, None, words)
        elif rest:
            words = [*_ground(verdict), f"{_full(verdict)}, overage write_off"]
            self._waive(fact, work, "over_cap", rest, verdict.entity, words)
            fact = replace(fact, determined=fact.determined + rest)
        return self.release(replace(fact, settled=True), "determined")

    def _include(self, fact: Fact, work: Work, ready: Ready) -> Fact:
        plan, drawn = ready.plan, ZERO
        words = _ground(ready)
        for lot in plan.lots:
            used = self._used(ready.contract, lot.key)
            free = _down(lot.hours - used, plan.step)
            hours = min(plan.total - fact.determined, free)
            if hours <= 0:
                continue
            self._use(ready.contract, lot.key, hours)
            consumed = Consumed(contract=ready.contract, lot=lot.key, hours=hours)
            fact = replace(fact, included=[*fact.included, consumed], determined=fact.determined + hours)
            drawn += hours
            period = lot.key.partition("@")[2]
            whose = f"included hours of the period from {period}" if period else "included hours"
            words.append(f"{whose}, {lot.hours:f} h: {used:f} before, {used + hours:f} after")
        if drawn:
            self._waive(fact, work, "included", drawn, ready.entity, words)
        return fact

    def _charge_within(self, fact: Fact, work: Work, ready: Ready) -> Fact:
        plan, totals = ready.plan, self._totals(ready)
        rest = part = plan.total - fact.determined
        if not rest:
            return fact
        words: list[str] = []
        currency = ready.terms.currency
        if fact.included:
            used = sum((consumed.hours for consumed in fact.included), ZERO)
            words.append(f"{used} h of it are included")
        so_far = self._so_far(fact, ready, plan.price)
        if plan.cap_hours is not None:
            part = min(part, _down(plan.cap_hours - totals.hours, plan.step))
        # A credit (a negative expense) makes room, so no cap holds it up.
        if plan.cap_amount is not None and rest > 0:
            left = plan.cap_amount - totals.amount
            part = min(part, fitting(so_far, part, plan.price, currency, plan.step, left))
        if part <= 0 < rest:
            return fact
        if plan.cap_hours is not None:
            words.append(f"cap {plan.cap_hours} h: {totals.hours} before, {totals.hours + part} after")
        if plan.cap_amount is not None:
            after = totals.amount + next_amount(so_far, part, plan.price, currency)
            before_and_after = f"{digits(totals.amount, currency)} before, {digits(after, currency)} after"
            words.append(f"cap {digits(plan.cap_amount, currency)} {currency}: {before_and_after}")
        if part < rest:
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
        # Not how large it is: an amendment may raise it and leave this one waiting.
        detail = f"the cap of line {plan.line} leaves no room"
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
            charge=charge_key(ready.contract, plan.line, fact, fact.revision, fact.charged + 1),
            origin=plan.origin,
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
            project=work.project,
            service=work.service,
            resource=work.resource,
            earned_on=work.done_on,
            posting_on=ready.posting_day,
            dimensions=ready.dimensions,
        )
        total_words = sum_words if plan.per_hour else f"{shown} {currency}"
        explanation = [
            fact_words(work, fact.revision),
            *_ground(ready),
            *words,
            total_words,
            *ready.posting_words,
        ]
        fact = self._emit(fact, charge, explanation)
        if pot is not None:
            self._move(ready.contract, pot, hours=part if plan.per_hour else ZERO, amount=amount)
            if amount < 0:
                self.freed[ready.contract, pot] = None
        if work.origin == "time":
            self._index_worked(fact, work, ready.contract)
        elif work.origin == "milestone":
            index.add(self.states, scheduled_index(ready.contract), fact.seq, fact_key(fact))
        fact = replace(fact, charges=[*fact.charges, charge], determined=fact.determined + part)
        return self._defer(fact, work, charge) if plan.in_advance else fact

    def _defer(self, fact: Fact, work: Work, charge: Standing) -> Fact:
        """What is billed in advance is owed to later months; what is earned already goes at once."""
        deferred = Deferred(
            charge=charge.charge,
            contract=charge.contract,
            line=charge.line,
            entity=charge.entity,
            currency=charge.currency,
            amount=charge.amount,
            earned_from=work.earned_from,
            earned_to=work.earned_to,
        )
        fact = deferral.defer(self.out, fact, deferred, charge.posting_on)
        self.owing[charge.contract] = None
        index.add(self.states, deferred_index(charge.contract), fact.seq, fact_key(fact))
        return self.earn(fact, today_of(self._contract(charge.contract), self.states))

    def earn(self, fact: Fact, today: date | None) -> Fact:
        """Release what is earned by ``today``, or by the milestone; None: no tick was ever seen."""
        if fact.deferred is None:
            return fact
        fact, passed = deferral.release_until(self.out, fact, today or date.min, self.states)
        assert fact.deferred is not None
        for closed in passed:
            index.add(
                self.states,
                unreleased_index(fact.deferred.entity, closed.period),
                fact.seq,
                fact_key(fact),
            )
        if fact.deferred.released == fact.deferred.amount:
            index.discard(self.states, deferred_index(fact.deferred.contract), fact.seq)
        return fact

    def unearn(self, fact: Fact, on: date) -> Fact:
        """A milestone that was billed in advance is open again."""
        if fact.deferred is None:
            return fact
        index.add(self.states, deferred_index(fact.deferred.contract), fact.seq, fact_key(fact))
        self.owing[fact.deferred.contract] = None
        return deferral.unearn(self.out, fact, first_open_day(fact.deferred.entity, on, self.states))


def _down(value: Decimal, step: Decimal) -> Decimal:
    """``value`` without what is less than a ``step``; never below zero."""
    return max(value.quantize(step, ROUND_FLOOR), ZERO)


def _ground(ready: Ready) -> list[str]:
    """The terms that decide, for the explanation."""
    return [f"contract {ready.contract} revision {ready.terms.revision}", *ready.plan.words]


def _full(ready: Ready) -> str:
    """That there is no room, for the explanation."""
    plan, currency = ready.plan, ready.terms.currency
    caps = [f"{digits(plan.cap_amount, currency)} {currency}"] if plan.cap_amount is not None else []
    caps += [f"{plan.cap_hours} h"] if plan.cap_hours is not None else []
    return f"the cap of line {plan.line}, {' and '.join(caps)}, leaves no room"


def _without(reversals: list[Reversed], said: Reversed) -> list[Reversed]:
    return [other for other in reversals if other.charge != said.charge]
