"""What a lane decided in shadow beside the peer's records: every pair, and every one that has none."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.delivery.compare import Decided, compare
from isthmus.sdk.connector import Candidate, Receipt


def decided(key: str, amount: str = "100.00", *, reverses: str | None = None, hours: str = "1.00") -> Decided:
    return Decided(
        seq=1,
        event_id=f"e:{key}",
        about=key,
        amount=Decimal(amount),
        currency="EUR",
        quantity=Decimal(hours),
        reverses=reverses,
    )


def record(
    id: str, *keys: str, amount: str = "100.00", sure: bool = False, hours: str | None = None
) -> Candidate:
    return Candidate(
        remote_id=id,
        stands_for={f"e:{key}": Receipt(remote_id=id) for key in keys},
        sure=sure,
        amount=Decimal(amount),
        currency="EUR",
        quantity=None if hours is None else Decimal(hours),
    )


@pytest.mark.parametrize(
    ("facts", "records", "verdicts"),
    [
        pytest.param([decided("a")], [record("1", "a")], {"a": "agree"}, id="one of each agrees"),
        pytest.param([decided("a")], [], {"a": "missing"}, id="nothing there"),
        pytest.param(
            [decided("a")], [record("1", "a", amount="90.00")], {"a": "differ"}, id="one with another amount"
        ),
        pytest.param(
            [decided("a")], [record("1", "a"), record("2", "a")], {"a": "ambiguous"}, id="posted twice"
        ),
        pytest.param(
            [decided("a")],
            [record("1", "a", sure=True), record("2", "a")],
            {"a": "agree", "2": "extra"},
            id="posted twice, once under our key",
        ),
        pytest.param(
            [decided("a")],
            [record("1", "a", sure=True, amount="90.00"), record("2", "a")],
            {"a": "differ", "2": "extra"},
            id="our key weighs more than an equal amount",
        ),
        pytest.param(
            [decided("a")], [record("1"), record("2", "a")], {"a": "agree", "1": "extra"}, id="extra"
        ),
        pytest.param(
            [decided("a"), decided("b", "50.00")],
            [record("1", "a", "b"), record("2", "a", "b", amount="40.00")],
            {"a": "agree", "b": "differ"},
            id="what is equal is paired first, what is left differs",
        ),
        pytest.param(
            [decided("a"), decided("b")],
            [record("1", "a", "b"), record("2", "a", "b")],
            {"a": "agree", "b": "agree"},
            id="alike facts share out alike records",
        ),
        pytest.param(
            [decided("a"), decided("b")],
            [record("1", "a", "b")],
            {"a": "agree", "b": "missing"},
            id="one record for two alike facts is the first one's",
        ),
        pytest.param(
            [decided("a", "10.00"), decided("b", "20.00")],
            [record("1", "a", "b", amount="30.00")],
            {"a": "ambiguous", "b": "ambiguous"},
            id="one wrong record that could be either's",
        ),
        pytest.param(
            [decided("a", hours="4.66")],
            [record("1", "a", hours="4.6667")],
            {"a": "agree"},
            id="hours to the minute",
        ),
        pytest.param(
            [decided("a", hours="4.50")], [record("1", "a", hours="4.25")], {"a": "differ"}, id="other hours"
        ),
        pytest.param(
            [decided("a"), decided("r", "-100.00", reverses="a")],
            [],
            {"a": "cancelled", "r": "cancelled"},
            id="taken back before it was there",
        ),
        pytest.param(
            [decided("a"), decided("r", "-100.00", reverses="a")],
            [record("1", "a")],
            {"a": "agree", "r": "missing"},
            id="taken back, and over there it was not",
        ),
    ],
)
def test_verdicts(facts: Sequence[Decided], records: Sequence[Candidate], verdicts: dict[str, str]) -> None:
    assert {line.about: line.verdict for line in compare(facts, records)} == verdicts


AMOUNTS = st.sampled_from(["10.00", "20.00", "30.00"])


@given(
    facts=st.lists(AMOUNTS, max_size=5),
    records=st.lists(st.tuples(AMOUNTS, st.sets(st.integers(0, 4)), st.booleans()), max_size=6),
)
def test_a_record_is_adopted_once_and_nothing_is_forgotten(
    facts: list[str], records: list[tuple[str, set[int], bool]]
) -> None:
    """Whatever stands where: each fact has one verdict, each record is one fact's or told."""
    given_facts = [decided(str(n), amount) for n, amount in enumerate(facts)]
    given_records = [
        record(f"r{n}", *map(str, fits), amount=amount, sure=sure)
        for n, (amount, fits, sure) in enumerate(records)
    ]
    lines = compare(given_facts, given_records)
    assert [line.about for line in lines if line.verdict != "extra"] == [fact.about for fact in given_facts]
    adopted = [line.records[0] for line in lines if line.verdict == "agree"]
    assert len(set(adopted)) == len(adopted)
    told = {id for line in lines for id in line.records}
    assert told == {each.remote_id for each in given_records}
    amounts = {each.remote_id: each.amount for each in given_records}
    assert all(amounts[line.records[0]] == line.amount for line in lines if line.verdict == "agree")
