"""An amendment of nothing but caps and included hours wakes held facts while there is room, not all of them.

What it says must be what an engine says that looks at every hold, in random histories with several rates.
"""

from collections.abc import Callable
from decimal import Decimal as D
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from isthmus.events import ChargeHeld, ChargeReleased, TimeAndMaterials
from isthmus.process.rules import agreements, holds

Step = tuple[Any, ...]
RATES = {"consulting": D("150.00"), "design": D("0.49")}
bounds = st.sampled_from([None, D("0.00"), D("4.00"), D("9.00"), D("150.00"), D("400.00"), D("1000.00")])
keys = st.sampled_from("abcdef")
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("time"),
            keys,
            st.sampled_from(["1.00", "2.50", "7.77", "0.01"]),
            st.sampled_from(["10-05", "11-05"]),
            st.sampled_from([*RATES, "other"]),
        ),
        st.tuples(st.just("untime"), keys),
        st.tuples(st.just("expense"), keys, st.sampled_from(["20.00", "60.00", "-10.00"])),
        st.tuples(
            st.just("amend"),
            st.sampled_from(["cap_amount", "cap_hours", "included_hours", "expense_cap"]),
            bounds,
            st.sampled_from(["10-05", "11-01"]),
        ),
    ),
    max_size=25,
)


def played(book: Any, history: list[Step]) -> tuple[list[Any], dict[str, Any]]:
    """What was charged and waived, without the numbers in ids; and what is held in the end."""
    line = TimeAndMaterials(
        line="T", rates=RATES, default_rate=D("33.33"), cap_amount=D("300.00"), expenses=True
    )
    book.tell("project P1")
    book.sign(line)
    revisions: dict[str, int] = {}
    for verb, key, *rest in history:
        name = f"x{key}" if verb == "expense" else "contract" if verb == "amend" else key
        revisions[name] = revision = revisions.get(name, 1) + 1
        if verb == "amend":
            value, day = rest
            line = msgspec.structs.replace(line, **{key: value})
            book.amend(revision, line, effective_on=day)
        elif verb == "expense":
            book.tell(f"expense {name} r{revision} {rest[0]} 10-06")
        else:
            book.tell(" ".join([verb, key, f"r{revision}", *rest]))
    held: dict[str, Any] = {}
    for event in book.derived:
        if isinstance(event, ChargeHeld):
            held[event.origin_key] = (event.reason, event.quantity, event.amount)
        elif isinstance(event, ChargeReleased):
            del held[event.origin_key]
    said = [
        msgspec.structs.replace(event, id="")
        for event in book.derived
        if not isinstance(event, (ChargeHeld, ChargeReleased))
    ]
    return said, held


def agree(make_ledger: Callable[[], Any], history: list[Step]) -> bool:
    """Whether looking at every hold would say the same."""
    cheap = played(make_ledger(), history)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreements, "_bounds_alone_differ", lambda *_: False)
        return cheap == played(make_ledger(), history)


RUN = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RUN
@given(history=steps)
def test_it_says_what_a_look_at_every_hold_would_say(
    make_ledger: Callable[[], Any], history: list[Step]
) -> None:
    assert agree(make_ledger, history)


def _asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "_while_room", lambda *_: iter(()))


def _dearest_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "room_for_cheapest", lambda left, *_: left >= RATES["consulting"])


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(_asleep, id="mutant: nobody is woken"),
        pytest.param(_dearest_decides, id="mutant: no room for the dearest is no room"),
    ],
)
def test_the_comparison_finds_a(
    make_ledger: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    plant(monkeypatch)
    search = settings(max_examples=5_000, deadline=None, database=None, phases=[PHASE])
    assert find(steps, lambda history: not agree(make_ledger, history), settings=search, random=Random(5))


PHASE = next(phase for phase in settings().phases if phase.name == "generate")
