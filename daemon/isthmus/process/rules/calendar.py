"""The calendar of contracts: what a day makes due becomes a fact, what a month earned is released.

A tick looks only at contracts that wait for one of its days. Each stands in the agenda of its legal entity
and time zone under the next day on which something is due or, while revenue is deferred, the next month end.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from msgspec.structs import replace

from isthmus.events.contract import FixedFee, Milestones
from isthmus.events.control import CalendarTicked
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.books import deferred_index, scheduled_index, unreleased_index
from isthmus.process.rules.contracts import (
    agenda_key,
    contract_row,
    end_of,
    newest_terms,
    revision_terms,
    terms_on,
    today_of,
)
from isthmus.process.rules.desk import Desk
from isthmus.process.rules.holds import save
from isthmus.process.rules.rerating import differs
from isthmus.process.rules.rows import Agenda, Contract, Fact, Work, Zones, achieved_work
from isthmus.process.rules.schedules import Item, items, month_end

__all__ = ["earn_anew", "earn_reopened", "recheck", "reschedule", "tick"]

DAY = timedelta(days=1)
FAR = date(9000, 1, 1)


def tick(desk: Desk, event: CalendarTicked) -> None:
    """A day began: catch up on everything that is due in its zone, contract by contract."""
    states, entity = desk.states, event.entity
    zones = states.get(f"zones:{entity}", Zones) or Zones()
    names = zones.names if event.time_zone is None else [event.time_zone]
    if event.time_zone is None and (zones.ticked_on is None or event.day > zones.ticked_on):
        states.put(f"zones:{entity}", replace(zones, ticked_on=event.day))
    for zone in names:
        key = agenda_key(entity, zone)
        agenda = states.get(key, Agenda) or Agenda()
        if agenda.ticked_on is not None and event.day <= agenda.ticked_on:
            continue
        earliest = agenda.earliest or event.day + DAY
        states.put(key, Agenda(ticked_on=event.day, earliest=max(earliest, event.day + DAY)))
        while earliest <= event.day:
            for _, contract in list(index.walk(states, _waits_for(key, earliest))):
                _catch_up(desk, contract)
            earliest += DAY


def earn_reopened(desk: Desk, entity: str, period: str) -> None:
    """A period is open again: release what its closing kept back."""
    waiting = list(index.walk(desk.states, unreleased_index(entity, period)))
    for seq, _ in waiting:
        index.discard(desk.states, unreleased_index(entity, period), seq)
    _earn(desk, waiting)


def earn_anew(desk: Desk, key: str) -> None:
    """Release what the contract has earned by now; after a tick, or under another period policy."""
    _earn(desk, list(index.walk(desk.states, deferred_index(key))))


def _earn(desk: Desk, members: list[tuple[int, str]]) -> None:
    for _, member in members:
        fact = desk.states.get(member, Fact)
        assert fact is not None
        if fact.deferred is not None:
            contract = _row(fact.deferred.contract, desk.states)
            save(desk, desk.earn(fact, today_of(contract, desk.states)))


def recheck(desk: Desk, key: str) -> tuple[dict[str, tuple[Work | None, str]], list[str]]:
    """What a contract's new terms change of what it made due, and what they make due at once.

    What was billed keeps its amount unless the newest terms in force on its day say another; periods that
    begin after the contract's end are taken back.
    """
    states = desk.states
    contract = contract_row(key, states)
    assert contract is not None
    today = today_of(contract, states)
    expected = {} if today is None else {item.key: item for item in _due(key, contract, states, today)}
    changes: dict[str, tuple[Work | None, str]] = {}
    for _, member in index.walk(states, scheduled_index(key)):
        fact = states.get(member, Fact)
        assert fact is not None
        item = expected.pop(fact.key, None)
        if fact.origin == "milestone" and (fact.work is None or not fact.work.in_advance):
            if (
                fact.waiting is None
                and fact.charges
                and fact.charges[0].contract == key
                and differs(fact, states)
            ):
                changes[member] = fact.work, "re-rated by an amendment"
            continue
        change = _change(key, contract, fact, item, states)
        if change is not None and fact.waiting is not None and change[0] == fact.work:
            save(desk, desk.drop_change(fact, "the newest terms name what stands"))
        elif change is not None:
            changes[member] = change
    fresh = _make(desk, key, contract, list(expected.values()))
    states.put(f"contract:{key}", replace(_row(key, states), made_until=today))
    return changes, fresh


def reschedule(desk: Desk, key: str) -> None:
    """Put the contract into the agenda under the next day it waits for."""
    states = desk.states
    contract = _row(key, states)
    today = today_of(contract, states)
    days = [item.due_on for item in _next_due(key, contract, states, today)]
    if today is not None and next(index.walk(states, deferred_index(key)), None) is not None:
        days.append(month_end(today + DAY))
    wakes_on = min(days, default=None)
    wakes_in = agenda_key(contract.entity, contract.time_zone)
    if (wakes_on, wakes_in) == (contract.wakes_on, contract.wakes_in):
        return
    if contract.wakes_on is not None:
        index.discard(states, _waits_for(contract.wakes_in, contract.wakes_on), contract.seq)
    if wakes_on is not None:
        index.add(states, _waits_for(wakes_in, wakes_on), contract.seq, key)
        agenda = states.get(wakes_in, Agenda) or Agenda()
        earliest = wakes_on if agenda.earliest is None else min(agenda.earliest, wakes_on)
        states.put(wakes_in, replace(agenda, earliest=earliest))
    states.put(f"contract:{key}", replace(contract, wakes_on=wakes_on, wakes_in=wakes_in))


def _catch_up(desk: Desk, key: str) -> None:
    states = desk.states
    contract = _row(key, states)
    today = today_of(contract, states)
    assert today is not None, "a tick gave it"
    due = list(_due(key, contract, states, today, after=contract.made_until))
    for member in _make(desk, key, contract, due):
        fact = states.get(member, Fact)
        assert fact is not None
        save(desk, desk.determine(fact))
    earn_anew(desk, key)
    states.put(f"contract:{key}", replace(_row(key, states), made_until=today))
    reschedule(desk, key)


def _due(
    key: str, contract: Contract, states: States, until: date, after: date | None = None
) -> Iterator[Item]:
    """What all revisions make due up to a day; for each day the revision in force speaks.

    What was agreed item by item (instalments, milestones) is the newest revision's to say, whatever its
    day; an item that only an older revision lists counts while that one was in force.
    """
    newest = newest_terms(key, contract, states)
    ends_on = end_of(newest, contract)
    said: set[str] = set()
    for entry in reversed(contract.revisions):
        terms = revision_terms(key, entry.revision, states)
        for line in terms.lines:
            found = items(
                key,
                line,
                currency=terms.currency,
                starts_on=terms.starts_on,
                ends_on=ends_on,
                until=until,
                after=after,
            )
            agreed = isinstance(line, (FixedFee, Milestones)) and terms.revision == newest.revision
            for item in found:
                in_force = terms_on(key, contract, item.due_on, states).revision == terms.revision
                if item.key not in said and (agreed or in_force):
                    said.add(item.key)
                    yield item


def _next_due(key: str, contract: Contract, states: States, today: date | None) -> Iterator[Item]:
    """The next item of each line of each revision; one that does not count wakes the contract for nothing."""
    ends_on = end_of(newest_terms(key, contract, states), contract)
    for entry in contract.revisions:
        terms = revision_terms(key, entry.revision, states)
        for line in terms.lines:
            found = items(
                key,
                line,
                currency=terms.currency,
                starts_on=terms.starts_on,
                ends_on=ends_on,
                until=FAR,
                after=today,
            )
            yield from [item for item in [next(found, None)] if item is not None]


def _make(desk: Desk, key: str, contract: Contract, due: list[Item]) -> list[str]:
    """Facts of what is due, again where it was withdrawn; what is known already is left as it is."""
    states, made = desk.states, []
    for item in due:
        member = f"{item.origin}:{item.key}"
        fact = states.get(member, Fact)
        if fact is not None and (fact.work is not None or item.origin == "milestone"):
            continue
        fact = fact or Fact(
            seq=index.next_place(states),
            origin=item.origin,
            key=item.key,
            project=contract.project,
            entity=contract.entity,
        )
        # Revisions of a milestone are counted by who achieves it.
        revision = 0 if item.origin == "milestone" else contract.revision
        states.put(member, replace(fact, revision=revision, work=_work(key, contract, item)))
        index.add(states, scheduled_index(key), fact.seq, member)
        made.append(member)
    return made


def _work(key: str, contract: Contract, item: Item) -> Work:
    spans = item.in_advance and item.origin != "milestone"
    return Work(
        origin=item.origin,
        key=item.key,
        project=contract.project,
        done_on=item.due_on,
        quantity=item.amount,
        contract=key,
        line=item.line,
        title=item.title,
        in_advance=item.in_advance,
        earned_from=item.starts_on if spans else None,
        earned_to=item.ends_on if spans else None,
    )


def _change(
    key: str, contract: Contract, fact: Fact, item: Item | None, states: States
) -> tuple[Work | None, str] | None:
    """What takes the place of a fact the calendar made; None when it stays as it is."""
    stands = fact.waiting.work if fact.waiting is not None else fact.work
    if item is not None:
        work = _work(key, contract, item)
        if stands == work:
            return None
        agreed_before = item.due_on < contract.revisions[-1].effective_on
        same_amount = stands is None or stands.quantity == work.quantity
        billed_as_agreed = fact.charges and item.origin in ("installment", "milestone")
        if billed_as_agreed and (agreed_before or same_amount):
            return None
        return work, "changed by the contract's newest terms"
    if stands is None:
        return None
    ends_on = end_of(newest_terms(key, contract, states), contract)
    begins = stands.earned_from or stands.done_on
    if fact.origin in ("retainer", "subscription") and ends_on is not None and begins > ends_on:
        return None, f"the contract ended on {ends_on}"
    if fact.charges:
        return None
    if fact.achieved_on is not None:
        achieved = achieved_work(fact.key, stands.project, fact.achieved_on)
        return achieved, "no longer billed in advance, but achieved"
    return None, "no longer agreed"


def _row(key: str, states: States) -> Contract:
    contract = contract_row(key, states)
    assert contract is not None, "what is in the agenda is known"
    return contract


def _waits_for(agenda: str, day: date) -> str:
    return f"{agenda}:{day}"
