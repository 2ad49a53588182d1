"""What waits is looked at again: corrections that a cause lets through, then what is held, oldest first."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from heapq import merge

from msgspec.structs import replace

from isthmus.events.contract import TimeAndMaterials
from isthmus.process.rules import index
from isthmus.process.rules.amounts import room_for_cheapest
from isthmus.process.rules.books import fact_key
from isthmus.process.rules.contracts import cap_queue, contract_row, newest_line, newest_terms
from isthmus.process.rules.desk import Desk
from isthmus.process.rules.rows import Fact, Totals, Work
from isthmus.process.rules.time_and_materials import HOUR_STEP

__all__ = ["Changes", "carry_on", "put_in_place", "save", "wake"]

Changes = Mapping[str, tuple[Work | None, str]]
"""By a fact's row: what takes the place of its work (None: nothing), and why."""
Members = Iterator[tuple[int, str]]


def save(desk: Desk, fact: Fact) -> None:
    """Write the fact's row."""
    desk.states.put(fact_key(fact), fact)


def put_in_place(desk: Desk, fact: Fact, work: Work | None, why: str) -> Fact | None:
    """Reverse what stands and put ``work`` in its place, undetermined; None when a closed period forbids it.

    Then the change waits whole, and what stands keeps standing.
    """
    trouble = desk.blocked(fact, work) if fact.stands else None
    if trouble is not None:
        save(desk, desk.wait(fact, work, why, trouble))
        return None
    fact = desk.take_back(fact, work, why)
    fact = replace(fact, project=work.project if work is not None else fact.project)
    save(desk, fact)
    return fact


def carry_on(
    desk: Desk, changes: Changes, queues: list[str], fresh: Sequence[str] = (), held: Sequence[str] = ()
) -> None:
    """Reversals first, then what replaces them, then what is new, then what is held; each oldest first.

    Args:
        queues: Queues whose members wait for this cause; waiting corrections among them are carried out.
        fresh: Facts that were never determined.
        held: Queues whose held facts are looked at too, while corrections among them wait on.
    """
    states = desk.states
    waiting = [member for _, member in merge(*(index.walk(states, queue) for queue in queues))]
    replaced: list[tuple[int, str]] = []
    for member in dict.fromkeys([*changes, *waiting]):
        fact = states.get(member, Fact)
        assert fact is not None
        if member in changes:
            work, why = changes[member]
        elif fact.waiting is not None and not _waits_for_room(fact):
            work, why = fact.waiting.work, fact.waiting.why
        else:
            continue
        if put_in_place(desk, fact, work, why) is not None and work is not None:
            replaced.append((fact.seq, member))
    for member in [*(member for _, member in sorted(replaced)), *fresh]:
        fact = states.get(member, Fact)
        assert fact is not None
        save(desk, desk.determine(fact))
    wake(desk, [*queues, *held])


def wake(desk: Desk, queues: list[str]) -> None:
    """Look again at held facts, oldest first: those in ``queues``, and those whose cap came free.

    A held credit makes room when it is billed; then the oldest is first again.
    """
    seen: set[str] = set()
    freed: dict[tuple[str, str], None] = {}
    while True:
        freed |= _take_freed(desk)
        if not _look(desk, queues, freed, seen):
            return


def _look(desk: Desk, queues: list[str], freed: Mapping[tuple[str, str], None], seen: set[str]) -> bool:
    """One walk over held facts; True when it was broken off because room came free.

    Args:
        seen: Members of ``queues`` that were looked at; more room does not help them.
    """
    states = desk.states
    found: list[Iterator[tuple[int, str, bool]]] = [
        _marked(index.walk(states, queue), room=False) for queue in queues
    ]
    found += [_marked(_while_room(desk, contract, pot), room=True) for contract, pot in freed]
    looked_at: set[str] = set()
    for _, member, room in merge(*found):
        if member in looked_at or (member in seen and not room):
            continue
        looked_at.add(member)
        seen.add(member)
        fact = states.get(member, Fact)
        if fact is None or fact.hold is None:
            continue
        if fact.waiting is None and fact.work is not None:
            save(desk, desk.determine(fact))
        elif fact.waiting is not None and _waits_for_room(fact):
            placed = put_in_place(desk, fact, fact.waiting.work, fact.waiting.why)
            if placed is not None and placed.work is not None:
                save(desk, desk.determine(placed))
        if desk.freed:
            return True
    return False


def _marked(members: Members, *, room: bool) -> Iterator[tuple[int, str, bool]]:
    for seq, member in members:
        yield seq, member, room


def _take_freed(desk: Desk) -> dict[tuple[str, str], None]:
    freed, desk.freed = desk.freed, {}
    desk.eased |= {contract: None for contract, _ in freed}
    return freed


def _waits_for_room(fact: Fact) -> bool:
    """A credit's withdrawal waits for room under a cap; every other change for a period."""
    return fact.hold is not None and fact.hold.reason == "cap_reached"


def _while_room(desk: Desk, contract: str, pot: str) -> Members:
    """Members of a cap's queue, until what is left could not take the cheapest hundredth of an hour."""
    for seq, member in index.walk(desk.states, cap_queue(contract, pot)):
        if not _room(desk, contract, pot):
            return
        yield seq, member


def _room(desk: Desk, key: str, pot: str) -> bool:
    contract = contract_row(key, desk.states)
    assert contract is not None
    name, _, expenses = pot.partition("#")
    line = newest_line(key, contract, name, desk.states)
    if not isinstance(line, TimeAndMaterials):
        return True
    totals = contract.totals.get(pot, Totals())
    if expenses:
        return line.expense_cap is None or line.expense_cap > totals.amount
    if line.included_hours is not None and line.included_hours > totals.included:
        return True
    if line.cap_hours is not None and line.cap_hours <= totals.hours:
        return False
    currency = newest_terms(key, contract, desk.states).currency
    cheapest = totals.cheapest or Decimal(0)
    return line.cap_amount is None or room_for_cheapest(
        line.cap_amount - totals.amount, cheapest, HOUR_STEP, currency
    )
