"""What holds in every history, checked against an independent, slow reference in whole cents.

Each guarantee has a mutant beside it: a planted bug that the same check must find.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from isthmus.events import ChargeDetermined, ChargeHeld, ChargeReleased, TimeAndMaterials, encode, quantum
from isthmus.process.rules import amounts, billing, books, desk, holds
from isthmus.process.rules.rows import Fact, Totals

ENTRIES = "abcde"
RATES = (15000, 13337, 49, 333)
Action = tuple[str, str, int]
History = tuple[int, int, int, list[Action]]

actions = st.one_of(
    st.tuples(st.just("approve"), st.sampled_from(ENTRIES), st.integers(1, 1200)),
    st.tuples(st.just("approve"), st.sampled_from(ENTRIES), st.integers(1, 1200)),
    st.tuples(st.just("unapprove"), st.sampled_from(ENTRIES), st.just(0)),
    st.tuples(st.just("repeat"), st.sampled_from(ENTRIES), st.integers(1, 1200)),
    st.tuples(st.just("stale"), st.sampled_from(ENTRIES), st.integers(1, 1200)),
    st.tuples(st.just("amend"), st.just(""), st.integers(0, 300_000)),
)
gates = st.tuples(st.sampled_from(["close", "open"]), st.sampled_from(["10", "11"]), st.just(0))


def histories(steps: st.SearchStrategy[Action]) -> st.SearchStrategy[History]:
    return st.tuples(
        st.sampled_from(RATES), st.integers(0, 1500), st.integers(0, 300_000), st.lists(steps, max_size=25)
    )


@dataclass
class Entry:
    """The reference's entry, in hundredths of an hour and cents."""

    hours: int = 0
    included: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)
    held: int = 0

    @property
    def net(self) -> int:
        return sum(amount for _, amount in self.parts)


class Reference:
    """Time and material with included hours and a cap in money; every entry is looked at every time."""

    def __init__(self, rate: int, included: int, cap: int) -> None:
        self.rate, self.included, self.cap = rate, included, cap
        self.entries: dict[str, Entry] = {}

    def cents(self, hundredths: int) -> int:
        return (2 * hundredths * self.rate + 100) // 200

    def approve(self, key: str, hours: int) -> None:
        entry = self.entries.setdefault(key, Entry())
        if entry.hours != hours:
            entry.hours, entry.included, entry.parts, entry.held = hours, 0, [], hours
            self.settle(entry)
        self.wake()

    def unapprove(self, key: str) -> None:
        entry = self.entries.setdefault(key, Entry())
        entry.hours, entry.included, entry.parts, entry.held = 0, 0, [], 0
        self.wake()

    def amend(self, cap: int) -> None:
        self.cap = cap
        self.wake()

    def wake(self) -> None:
        for entry in self.entries.values():
            if entry.held:
                self.settle(entry)

    def settle(self, entry: Entry) -> None:
        free = max(self.included - sum(each.included for each in self.entries.values()), 0)
        taken = min(free, entry.held)
        entry.included += taken
        entry.held -= taken
        left = self.cap - sum(each.net for each in self.entries.values())
        done = sum(hours for hours, _ in entry.parts)
        if left <= 0:
            return
        for part in range(entry.held, 0, -1):
            amount = self.cents(done + part) - entry.net
            if amount <= left:
                entry.parts.append((part, amount))
                entry.held -= part
                return


def line(rate: int, included: int, cap: int) -> TimeAndMaterials:
    return TimeAndMaterials(
        line="T",
        rates={"consulting": Decimal(rate) / 100},
        included_hours=Decimal(included) / 100,
        cap_amount=Decimal(cap) / 100,
    )


def check(make_ledger: Callable[[], Any], history: History, *, compare: bool) -> Any:
    """Play a history; assert every guarantee after every step."""
    rate, included, cap, steps = history
    book, reference = make_ledger(), Reference(rate, included, cap)
    book.tell("project P1")
    book.sign(line(rate, included, cap))
    revisions: dict[str, int] = {}
    highest_cap, contract_revision = cap, 1
    closed: set[str] = set()
    for verb, key, number in steps:
        hours = Decimal(number) / 100
        worked = "10-05" if key in "ab" else "11-05"
        before = len(book.derived)
        if verb == "approve":
            revisions[key] = revisions.get(key, 0) + 1
            book.tell(f"time {key} r{revisions[key]} {hours} {worked}")
            reference.approve(key, number)
        elif verb == "unapprove":
            revisions[key] = revisions.get(key, 0) + 1
            book.tell(f"untime {key} r{revisions[key]}")
            reference.unapprove(key)
        elif verb in ("repeat", "stale"):
            known = revisions.setdefault(key, 0)
            if known:
                assert book.tell(f"time {key} r{known - (verb == 'stale')} {hours} {worked}") == []
        elif verb == "amend":
            contract_revision += 1
            highest_cap += number // 10
            book.amend(contract_revision, line(rate, included, highest_cap), effective_on="12-01")
            reference.amend(highest_cap)
        else:
            book.tell(f"{verb} {key}")
            closed = closed | {key} if verb == "close" else closed - {key}
        assert book.net("T") * 100 <= highest_cap, "the net never exceeds the cap"
        for event in book.derived[before:]:
            if isinstance(event, ChargeDetermined):
                assert f"{event.posting_on:%m}" not in closed, "nothing posts into a closed period"
        if compare:
            for name, entry in reference.entries.items():
                assert book.net(key=name) * 100 == entry.net, f"net of {name} after {verb} {key} {number}"
    standing = check_reversals(book.derived)
    check_wholes(standing, book.derived, Decimal(rate) / 100)
    return book


def check_reversals(derived: list[Any]) -> dict[str, ChargeDetermined]:
    """Each reversal is its charge with the amount negated, once; returns the charges that stand."""
    charges: dict[str, ChargeDetermined] = {}
    names: set[str] = set()
    for event in derived:
        if not isinstance(event, ChargeDetermined):
            continue
        assert event.charge not in names, "a charge key is used once"
        names.add(event.charge)
        if event.reverses is None:
            charges[event.charge] = event
            continue
        reversed_one = charges.pop(event.reverses)
        assert event.amount == -reversed_one.amount
        for name in ("quantity", "unit_price", "line", "origin_key", "earned_on", "dimensions", "resource"):
            assert getattr(event, name) == getattr(reversed_one, name)
    return charges


def check_wholes(standing: dict[str, ChargeDetermined], derived: list[Any], rate: Decimal) -> None:
    """The parts of an entry, held part included, sum to the rounded whole."""
    holds: dict[str, ChargeHeld] = {}
    for event in derived:
        if isinstance(event, ChargeHeld):
            holds[event.origin_key] = event
        elif isinstance(event, ChargeReleased):
            holds.pop(event.origin_key)
    for key in ENTRIES:
        parts = [charge for charge in standing.values() if charge.origin_key == key]
        hours = sum((charge.quantity for charge in parts), Decimal(0))
        amount = sum((charge.amount for charge in parts), Decimal(0))
        hold = holds.get(key)
        if hold is not None and hold.reason == "cap_reached":
            assert hold.quantity is not None and hold.amount is not None
            hours, amount = hours + hold.quantity, amount + hold.amount
        whole = int((2 * hours * rate * 100 + 1) // 2)
        assert amount * 100 == whole, f"parts of {key}"


RUN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RUN
@given(history=histories(actions))
def test_net_per_entry_is_what_the_slow_reference_says(
    make_ledger: Callable[[], Any], history: History
) -> None:
    check(make_ledger, history, compare=True)


@RUN
@given(history=histories(st.one_of(actions, gates)))
def test_guarantees_hold_while_periods_close_and_reopen(
    make_ledger: Callable[[], Any], history: History
) -> None:
    check(make_ledger, history, compare=False)


@settings(RUN, max_examples=50)
@given(history=histories(st.one_of(actions, gates)))
def test_a_replay_is_the_same_to_the_byte(make_ledger: Callable[[], Any], history: History) -> None:
    first = check(make_ledger, history, compare=False)
    again = make_ledger()
    for event in first.told:
        again.take(event)
    assert [encode(event) for event in again.derived] == [encode(event) for event in first.derived]
    assert again.states.rows == first.states.rows


@settings(RUN, max_examples=50)
@given(history=histories(st.one_of(actions, gates)))
def test_everything_open_again_leaves_no_hold_but_the_cap(
    make_ledger: Callable[[], Any], history: History
) -> None:
    book = check(make_ledger, history, compare=False)
    book.tell("open 10")
    book.tell("open 11")
    held: dict[str, str] = {}
    for event in book.derived:
        if isinstance(event, ChargeHeld):
            held[event.origin_key] = event.reason
        elif isinstance(event, ChargeReleased):
            del held[event.origin_key]
    assert set(held.values()) <= {"cap_reached"}


def _half_even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        amounts,
        "round_money",
        lambda amount, currency: amount.quantize(quantum(currency), rounding=ROUND_HALF_EVEN),
    )


def _cap_forgets_reversals(monkeypatch: pytest.MonkeyPatch) -> None:
    move = desk.Desk._move

    def forgetful(self: Any, contract: str, pot: str, **moved: Decimal) -> None:
        if moved.get("amount", Decimal(0)) >= 0:
            move(self, contract, pot, **moved)

    monkeypatch.setattr(desk.Desk, "_move", forgetful)


def _parts_rounded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.Desk, "_so_far", lambda *_: amounts.SoFar())


def _split_one_step_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = amounts.fitting

    def greedy(
        so_far: Any, quantity: Decimal, price: Decimal, currency: str, step: Decimal, left: Decimal
    ) -> Any:
        return min(fitting(so_far, quantity, price, currency, step, left) + step, quantity)

    monkeypatch.setattr(desk, "fitting", greedy)


def _holds_sleep_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing, "wake", lambda desk, queues: None)
    monkeypatch.setattr(holds, "wake", lambda desk, queues: None)


def _included_hours_stay_used(monkeypatch: pytest.MonkeyPatch) -> None:
    replace = msgspec.structs.replace

    def sticky(row: Any, **changes: Any) -> Any:
        if isinstance(row, Totals) and changes.get("included", row.included) < row.included:
            del changes["included"]
        return replace(row, **changes)

    monkeypatch.setattr(books, "replace", sticky)


def _stale_revisions_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    revise = billing._revise

    def eager(at: Any, event: Any) -> None:
        fact = at.states.get(f"time:{event.key}", Fact)
        if fact is not None:
            at.states.put(f"time:{event.key}", msgspec.structs.replace(fact, revision=0))
        revise(at, event)

    monkeypatch.setattr(billing, "_revise", eager)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(_half_even, id="rounding half to even"),
        pytest.param(_cap_forgets_reversals, id="the cap forgets reversals"),
        pytest.param(_parts_rounded_alone, id="each part rounded alone"),
        pytest.param(_split_one_step_too_large, id="a split one hundredth too large"),
        pytest.param(_holds_sleep_on, id="holds are not looked at again"),
        pytest.param(_included_hours_stay_used, id="included hours do not come back"),
        pytest.param(_stale_revisions_apply, id="stale revisions are applied"),
    ],
)
def test_the_checks_find_a_planted_bug(
    make_ledger: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    plant(monkeypatch)

    def breaks(history: History) -> bool:
        try:
            check(make_ledger, history, compare=True)
        except AssertionError:
            return True
        return False

    # `find` raises NoSuchExample when no history betrays the bug. It searches the same way each time.
    search = settings(max_examples=10_000, deadline=None, phases=SEARCH, database=None)
    assert find(histories(actions), breaks, settings=search, random=Random(5))


SEARCH = [phase for phase in settings().phases if phase.name == "generate"]
