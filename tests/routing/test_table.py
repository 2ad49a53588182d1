"""Which lanes a fact concerns."""

import pytest

from isthmus.routing.table import Routes, Subscription

ROUTES = Routes(
    [
        Subscription(lane="billing", kinds=frozenset({"time.approved", "expense.validated"})),
        Subscription(
            lane="erp-de", kinds=frozenset({"charge.determined"}), entities=frozenset({"de01", "at01"})
        ),
        Subscription(lane="erp-us", kinds=frozenset({"charge.determined"}), entities=frozenset({"us01"})),
        Subscription(lane="archive", kinds=frozenset({"time.approved", "charge.determined"})),
        Subscription(lane="nobody", kinds=frozenset({"time.approved"}), entities=frozenset()),
    ]
)


@pytest.mark.parametrize(
    ("kind", "entity", "lanes"),
    [
        pytest.param("time.approved", "de01", ["billing", "archive"], id="each lane that takes the kind"),
        pytest.param("charge.determined", "us01", ["erp-us", "archive"], id="narrowed by legal entity"),
        pytest.param("charge.determined", "at01", ["erp-de", "archive"], id="several entities in one lane"),
        pytest.param("charge.determined", "fr01", ["archive"], id="who names none takes all"),
        pytest.param("expense.validated", "", ["billing"], id="no entity is an entity too"),
        pytest.param("deal.won", "de01", [], id="a kind nobody takes"),
        pytest.param("time.approved/1", "de01", [], id="kinds have no version here"),
    ],
)
def test_the_lanes_of_a_fact(kind: str, entity: str, lanes: list[str]) -> None:
    assert ROUTES.lanes_for(kind, entity) == lanes


def test_the_table_and_the_subscriptions_agree() -> None:
    for kind in ("time.approved", "charge.determined", "expense.validated", "deal.won"):
        for entity in ("de01", "us01", "fr01"):
            taken = [name for name, each in ROUTES.by_lane.items() if each.takes(kind, entity)]
            assert ROUTES.lanes_for(kind, entity) == taken
