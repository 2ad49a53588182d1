"""What is edited, deleted, doubled or added behind our back is found; what is clean is left alone."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.reconcile import compare as comparing
from isthmus.reconcile.compare import Expected, Side, compare
from tests.reconcile.given import BOUNDS, NOW, Books, clean, planted, told


@pytest.mark.parametrize("side", ["left", "right"])
def test_fifty_planted_in_ten_thousand_are_found_with_kind_and_amount_and_nothing_else(side: Side) -> None:
    books = clean(side, 10_000)
    wanted = planted(books, 50)
    result = books.compared()
    assert told(result.differences) == wanted
    assert {each.state for each in result.differences} == {"drift"}
    assert len(result.differences) == 50


@pytest.mark.parametrize("side", ["left", "right"])
def test_ten_thousand_clean_records_say_nothing_and_take_no_time(side: Side) -> None:
    books = clean(side, 10_000)
    began = time.process_time()
    result = books.compared()
    assert (result.differences, result.compared, result.matched) == ([], 10_000, 10_000)
    assert time.process_time() - began < 5, "ten thousand records take a fraction of a second"


@given(seed=st.integers(0, 10_000), many=st.integers(0, 40), side=st.sampled_from(["left", "right"]))
@settings(max_examples=60, deadline=None)
def test_whatever_a_night_does_all_of_it_is_found_and_undoing_it_leaves_nothing(
    seed: int, many: int, side: Side
) -> None:
    books = clean(side, 60, seed)
    before = list(books.rows)
    wanted = planted(books, many, seed)
    assert told(books.compared().differences) == wanted
    books.rows = before
    assert books.compared().differences == []


def one(books: Books, **changes: Any) -> Books:
    """Books whose one row is changed."""
    return Books(books.side, books.expected, [replace(books.rows[0], **changes)])


def standing(books: Books, **changes: Any) -> Books:
    """Books whose one expectation is changed."""
    return Books(books.side, {key: replace(each, **changes) for key, each in books.expected.items()}, [])


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({"changed_at": NOW}, [], id="what is young and agrees says nothing"),
        pytest.param(
            {"amount": Decimal(1), "changed_at": NOW},
            [("amount", "changed", "timing")],
            id="what was changed a moment ago is timing",
        ),
        pytest.param({"currency": "USD"}, [("amount", "changed", "drift")], id="another currency"),
        pytest.param(
            {"status": "unreadable", "amount": None},
            [("status", "unreadable", "drift")],
            id="what nobody can read",
        ),
        pytest.param(
            {"key": "billing:other"},
            [("missing", "gone", "drift"), ("extra", "unknown_to_us", "drift")],
            id="a key that we never gave",
        ),
    ],
)
def test_what_stands_on_the_right_is_judged(changes: dict[str, Any], found: list[tuple[str, ...]]) -> None:
    books = clean("right", 1)
    books.rows = [replace(books.rows[0], **changes)]
    assert causes(books) == found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({}, [("missing", "gone", "drift")], id="it was there"),
        pytest.param(
            {"changed_at": NOW}, [("missing", "gone", "timing")], id="what we learnt a moment ago is timing"
        ),
        pytest.param(
            {"standing": "in_flight", "words": "lane erp"},
            [("missing", "in_flight", "timing")],
            id="what is on its way is timing, however old",
        ),
        pytest.param(
            {"standing": "dead_letter", "words": "P-404"},
            [("missing", "dead_letter", "drift")],
            id="a dead letter is drift",
        ),
        pytest.param({"standing": "not_sent", "words": "skipped"}, [], id="what was skipped is not missed"),
    ],
)
def test_what_does_not_stand_on_the_right_is_judged_by_its_way(
    changes: dict[str, Any], found: list[tuple[str, ...]]
) -> None:
    books = clean("right", 1)
    books.expected = {key: replace(each, **changes) for key, each in books.expected.items()}
    books.rows = []
    assert causes(books) == found


@pytest.mark.parametrize(
    ("status", "there", "agrees"),
    [
        pytest.param("paid", "paid", True, id="the same"),
        pytest.param("paid", "", True, id="a ledger that does not say"),
        pytest.param("paid", "released", False, id="a payment that is not there"),
        pytest.param("voided", "voided", True, id="voided, whatever total is left"),
        pytest.param("voided", None, True, id="voided, and not shown any more"),
        pytest.param(None, "billed", True, id="a state that nobody expects anything of"),
        pytest.param(None, "voided", False, id="voided behind our back"),
    ],
)
def test_states_agree_or_do_not(status: str | None, there: str | None, agrees: bool) -> None:
    books = clean("right", 1)
    (key, expected), *_ = books.expected.items()
    books.expected = {key: replace(expected, figures=replace(expected.figures, status=status))}
    zero = Decimal(0) if there == "voided" and status == "voided" else books.rows[0].amount
    books.rows = [] if there is None else [replace(books.rows[0], status=there, amount=zero)]
    assert [cause for cause, *_ in causes(books)] == ([] if agrees else ["status"])


def causes(books: Books) -> list[tuple[str, ...]]:
    return [(each.kind, each.cause, each.state) for each in books.compared().differences]


@pytest.mark.parametrize(
    ("more", "agrees"),
    [
        pytest.param("0.00", True, id="to the cent"),
        pytest.param("0.01", False, id="a cent is a difference"),
        pytest.param("-0.01", False, id="so is one less"),
    ],
)
def test_amounts_agree_to_the_cent_unless_a_tolerance_is_given(more: str, agrees: bool) -> None:
    books = clean("right", 1)
    rows = [replace(books.rows[0], amount=(books.rows[0].amount or Decimal(0)) + Decimal(more))]
    assert (not compare("right", books.expected, rows, BOUNDS).differences) is agrees
    lenient = replace(BOUNDS, tolerance=Decimal("0.01"))
    assert not compare("right", books.expected, rows, lenient).differences


def test_a_record_that_is_there_though_we_hold_it_for_undelivered_says_so() -> None:
    books = clean("right", 1)
    (key, expected), *_ = books.expected.items()
    doubted: Expected = replace(expected, standing="in_doubt")
    (found,) = compare("right", {key: doubted}, books.rows, BOUNDS).differences
    assert (found.kind, found.cause) == ("status", "in_doubt")
    assert "resolve the exception" in found.words


def test_what_settles_is_drift_from_then_on() -> None:
    books = clean("right", 1)
    books.rows = [replace(books.rows[0], amount=Decimal(1), changed_at=NOW)]
    later = replace(BOUNDS, settled_before=NOW + timedelta(seconds=1))
    (found,) = compare("right", books.expected, books.rows, later).differences
    assert found.state == "drift"


def forgets_doubles(key: str, kind: str, *rest: Any, **more: Any) -> bool:
    return kind != "double"


def forgets_strangers(key: str, kind: str, cause: str, *rest: Any, **more: Any) -> bool:
    return cause != "not_ours"


def forgets_the_absent(key: str, kind: str, cause: str, *rest: Any, **more: Any) -> bool:
    return cause != "gone"


@pytest.mark.parametrize("keeps", [forgets_doubles, forgets_strangers, forgets_the_absent])
def test_mutant_a_comparison_that_overlooks_something_is_found_out(
    keeps: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = comparing._Judge._add

    def blind(judge: Any, *said: Any, **more: Any) -> None:
        if keeps(*said, **more):
            whole(judge, *said, **more)

    monkeypatch.setattr(comparing._Judge, "_add", blind)
    books = clean("right", 200)
    wanted = planted(books, 50)
    assert told(books.compared().differences) != wanted


def test_mutant_a_comparison_that_rounds_to_whole_units_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    books = clean("right", 200)
    wanted = planted(books, 50)
    rounding = replace(BOUNDS, tolerance=Decimal("0.50"))
    assert told(compare("right", books.expected, books.rows, rounding).differences) != wanted
