"""Contracts signed, amended and ended: what they change backwards, and terms that cannot govern."""

from collections.abc import Iterator
from heapq import merge
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from isthmus.events.contract import (
    ContractAmended,
    ContractEnded,
    ContractLine,
    ContractSigned,
    Retainer,
    TimeAndMaterials,
)
from isthmus.events.control import ChangeOrderStepped, StepState
from isthmus.events.finance import ChargeHeld, ChargeReleased
from isthmus.process.face import States
from isthmus.process.rules import calendar, index
from isthmus.process.rules.books import worked_index
from isthmus.process.rules.contracts import (
    cap_queue,
    contract_row,
    keep_terms,
    newest_line,
    newest_terms,
    policy_queue,
    revision_terms,
    terms_queue,
)
from isthmus.process.rules.desk import Desk
from isthmus.process.rules.holds import carry_on, save
from isthmus.process.rules.plan import Trouble, digits
from isthmus.process.rules.rerating import differs
from isthmus.process.rules.rows import Contract, Fact, Pending, Terms
from isthmus.process.rules.schedules import months_of

__all__ = ["agree", "end", "look_at_waiting_terms", "try_again"]

T = TypeVar("T", bound=msgspec.Struct)
Agreed = ContractSigned | ContractAmended


class _Trial:
    """Rows as they would be; nothing is written before `keep`."""

    def __init__(self, base: States) -> None:
        self._base = base
        self._rows: dict[str, msgspec.Struct] = {}

    def get(self, key: str, type: type[T]) -> T | None:
        found = self._rows.get(key)
        if found is None:
            return self._base.get(key, type)
        assert isinstance(found, type)
        return found

    def put(self, key: str, struct: msgspec.Struct) -> None:
        self._rows[key] = struct

    def keep(self) -> None:
        for key, row in self._rows.items():
            self._base.put(key, row)


def agree(desk: Desk, event: Agreed) -> None:
    """A contract was signed or amended: it governs from now on, or it waits with a reason."""
    states = desk.states
    row = states.get(f"contract:{event.contract}", Contract) or Contract()
    pending = states.get(_pending(event.contract), Pending) or Pending(terms=None)
    if event.revision <= max(row.revision, pending.terms.revision if pending.terms is not None else 0):
        return
    trouble = _contradiction(event, row, states) or _apply(desk, event)
    if trouble is None:
        _release(desk, pending, f"revision {event.revision} governs")
        _word(desk, event, "done", f"revision {event.revision} governs")
        return
    _word(desk, event, "failed", f"{trouble.reason}: {trouble.detail}")
    desk.out.add(
        ChargeHeld,
        entity=event.entity,
        origin="contract",
        origin_key=event.contract,
        origin_revision=event.revision,
        reason=trouble.reason,
        detail=trouble.detail,
        project=event.project,
    )
    states.put(_pending(event.contract), Pending(terms=event, reason=trouble.reason, detail=trouble.detail))
    if trouble.reason == "cap_below_billed":
        index.add(states, _overdrawn_terms(event.entity), _row(event.contract, states).seq, event.contract)


def end(desk: Desk, event: ContractEnded) -> None:
    """Work after the end waits; a period that was billed beyond it is billed by its days."""
    key = f"contract:{event.contract}"
    row = desk.states.get(key, Contract) or Contract()
    if event.revision < row.ended_revision or event.ended_on == row.ended_on:
        return
    desk.states.put(key, replace(row, ended_on=event.ended_on, ended_revision=event.revision))
    if not row.revisions:
        return
    changes, fresh = calendar.recheck(desk, event.contract)
    # What waits for room or a period under a contract that no longer covers it may be another contract's.
    held = [*(cap_queue(event.contract, pot) for pot in row.totals), policy_queue(event.contract)]
    carry_on(desk, changes, [terms_queue(project) for project in row.projects], fresh, held)
    desk.eased[event.contract] = None
    calendar.reschedule(desk, event.contract)


def try_again(desk: Desk, contract: str) -> None:
    """The contract's net fell: an amendment that its cap kept waiting may govern now."""
    pending = desk.states.get(_pending(contract), Pending)
    if pending is None or pending.terms is None or pending.reason != "cap_below_billed":
        return
    if _apply(desk, pending.terms) is None:
        _release(desk, pending, "what is determined fits under the new cap")
        _word(desk, pending.terms, "done", f"revision {pending.terms.revision} governs")


def look_at_waiting_terms(desk: Desk, entity: str) -> None:
    """What kept a re-rating from bringing a net under its new cap may be gone."""
    desk.eased |= {contract: None for _, contract in index.walk(desk.states, _overdrawn_terms(entity))}


def _pending(contract: str) -> str:
    return f"pending:{contract}"


def _overdrawn_terms(entity: str) -> str:
    """Contracts of which an amendment waits as ``cap_below_billed``."""
    return f"overdrawn:{entity}"


def _release(desk: Desk, pending: Pending, why: str) -> None:
    if pending.terms is None:
        return
    desk.out.add(
        ChargeReleased,
        entity=pending.terms.entity,
        origin="contract",
        origin_key=pending.terms.contract,
        origin_revision=pending.terms.revision,
        reason=pending.reason,
        detail=why,
        project=pending.terms.project,
    )
    desk.states.put(_pending(pending.terms.contract), Pending(terms=None))
    contract = contract_row(pending.terms.contract, desk.states)
    if contract is not None:
        index.discard(desk.states, _overdrawn_terms(pending.terms.entity), contract.seq)


def _word(desk: Desk, event: Agreed, state: StepState, detail: str) -> None:
    """Tell a change order whether its terms govern; nothing else is told before they do."""
    if isinstance(event, ContractAmended):
        desk.out.add(
            ChangeOrderStepped,
            entity=event.entity,
            change=f"{event.contract}/{event.revision}",
            contract=event.contract,
            project=event.project,
            step="terms",
            state=state,
            detail=detail,
        )


def _contradiction(event: Agreed, row: Contract, states: States) -> Trouble | None:
    """Terms that say two things at once; which of them is meant is not guessed."""
    takes: dict[str, str] = {}
    for line in event.lines:
        if not isinstance(line, (TimeAndMaterials, Retainer)):
            continue
        for service in line.services or []:
            other = takes.setdefault(service, line.line)
            if other != line.line:
                detail = (
                    f"lines.{line.line}.services names {service}, as line {other} does; name it on one line"
                )
                return Trouble(reason="bad_terms", detail=detail)
    if row.revisions:
        currency = newest_terms(event.contract, row, states).currency
        if currency != event.currency:
            detail = f"currency is {event.currency}, the contract was in {currency}; sign a new contract"
            return Trouble(reason="bad_terms", detail=detail)
    return None


def _apply(desk: Desk, event: Agreed) -> Trouble | None:
    """Let the terms govern, unless a cap of theirs would lie under what stays determined."""
    base, mark, freed, eased = desk.states, desk.out.mark(), dict(desk.freed), dict(desk.eased)
    trial = _Trial(base)
    desk.states = trial
    try:
        _govern(desk, event)
        trouble = _overdrawn(event.contract, trial)
    finally:
        desk.states = base
    if trouble is None:
        trial.keep()
        return None
    desk.out.take_back_to(mark)
    desk.freed, desk.eased = freed, eased
    return trouble


def _govern(desk: Desk, event: Agreed) -> None:
    """Re-rate what the terms change backwards, bill what they make due, then look at what may move."""
    states, key = desk.states, event.contract
    old = contract_row(key, states)
    before = newest_terms(key, old, states) if old is not None else None
    terms = keep_terms(event, states)
    assert terms is not None, "older revisions were passed over"
    contract = _row(key, states)
    changes, fresh = calendar.recheck(desk, key)
    queues, held = list[str](), list[str]()
    if old is not None and before is not None and _bounds_alone_differ(old, before, contract, terms):
        # Whatever waits, but for room under a cap, waits on.
        desk.freed.update(dict.fromkeys((key, pot) for pot in contract.totals))
    else:
        queues += [terms_queue(project) for project in contract.projects]
        queues += [cap_queue(key, pot) for pot in contract.totals]
        if before is not None and terms.period_policy != before.period_policy:
            queues.append(policy_queue(key))
        held.append(policy_queue(key))
        for dated in _no_longer_rerated(desk, key):
            save(desk, desk.drop_change(dated, "the newest terms name the rate that stands"))
        for member in _rerated(desk, key, contract) if old is not None else ():
            fact = states.get(member, Fact)
            assert fact is not None
            changes[member] = fact.work, "re-rated by an amendment"
    carry_on(desk, changes, queues, fresh, held)
    if before is not None and terms.period_policy != before.period_policy:
        calendar.earn_anew(desk, key)
    calendar.reschedule(desk, key)


def _bounds_alone_differ(old: Contract, before: Terms, new: Contract, terms: Terms) -> bool:
    """Whether an amendment changes nothing but caps and included hours, and no day's terms but its own.

    Then the answer to what waits can change only where there is room, and no rate changes.
    """
    kept = replace(before, revision=terms.revision, lines=[_unbound(line) for line in before.lines])
    return (
        replace(terms, lines=[_unbound(line) for line in terms.lines]) == kept
        and (old.entity, old.project) == (new.entity, new.project)
        and new.revisions[-1].effective_on >= old.revisions[-1].effective_on
    )


def _unbound(line: ContractLine) -> ContractLine:
    if not isinstance(line, TimeAndMaterials):
        return line
    return replace(line, included_hours=None, cap_amount=None, cap_hours=None, expense_cap=None)


def _no_longer_rerated(desk: Desk, key: str) -> Iterator[Fact]:
    """Facts whose re-rating waits for a closed period, and is not needed any more."""
    for _, member in list(index.walk(desk.states, policy_queue(key))):
        fact = desk.states.get(member, Fact)
        if fact is None or fact.work is None or fact.work.contract is not None or fact.waiting is None:
            continue
        if fact.waiting.work == fact.work and not differs(fact, desk.states):
            yield fact


def _row(key: str, states: States) -> Contract:
    contract = contract_row(key, states)
    assert contract is not None, "its terms govern"
    return contract


def _overdrawn(key: str, states: States) -> Trouble | None:
    contract = _row(key, states)
    currency = newest_terms(key, contract, states).currency
    for pot, total in contract.totals.items():
        name, _, expenses = pot.partition("#")
        line = newest_line(key, contract, name, states)
        if not isinstance(line, TimeAndMaterials):
            continue
        caps = (
            [("expense_cap", line.expense_cap, total.amount, currency)]
            if expenses
            else [
                ("cap_amount", line.cap_amount, total.amount, currency),
                ("cap_hours", line.cap_hours, total.hours, "h"),
            ]
        )
        for field, cap, net, unit in caps:
            if cap is not None and net > cap:
                shown = f"{cap}" if unit == "h" else digits(cap, currency)
                stands = f"{net}" if unit == "h" else digits(net, currency)
                detail = (
                    f"lines.{name}.{field} {shown} {unit} lies under the {stands} {unit} determined already; "
                    f"amend with at least {stands}, or have the work corrected"
                )
                return Trouble(reason="cap_below_billed", detail=detail)
    return None


def _rerated(desk: Desk, key: str, contract: Contract) -> Iterator[str]:
    """Facts with time charged at a rate that the newest revision changes for their day, oldest first."""
    since = contract.revisions[-1].effective_on
    if contract.last_worked_on is None or not _rates_differ(key, contract, desk.states):
        return
    months = [
        index.walk(desk.states, worked_index(key, f"{month:%Y-%m}"))
        for month in months_of(since, contract.last_worked_on)
    ]
    for _, member in merge(*months):
        fact = desk.states.get(member, Fact)
        if fact is None or fact.work is None or fact.waiting is not None or fact.work.done_on < since:
            continue
        if differs(fact, desk.states):
            yield member


def _rates_differ(key: str, contract: Contract, states: States) -> bool:
    newest = newest_terms(key, contract, states)
    for entry in contract.revisions[:-1]:
        for line in revision_terms(key, entry.revision, states).lines:
            now = newest.line(line.line)
            if type(now) is type(line) and _rates(line) != _rates(now):
                return True
    return False


def _rates(line: ContractLine | None) -> tuple[object, ...]:
    """What an hour costs on a line."""
    if isinstance(line, TimeAndMaterials):
        return line.rates, line.default_rate
    return (line.overage_rate,) if isinstance(line, Retainer) else ()
