"""Asking slower when Kantata says 429, which is all it says."""

import pytest

from isthmus_kantata.budgets import CALM, FIRST_S, MOST_S, OWN, SPACE_MOST_S, SPACE_S, Budgets, name_of


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        pytest.param("GET", "workspaces", "GET workspaces", id="listing projects"),
        pytest.param("GET", "workspaces.json", "GET workspaces", id="with the suffix"),
        pytest.param("POST", "workspaces", "POST workspaces", id="creating one"),
        pytest.param("POST", "workspaces/41/invite", "POST workspaces/#/invite", id="inviting to one"),
        pytest.param("PUT", "account_invitations/7/resend", "PUT account_invitations/#/resend", id="again"),
        pytest.param("PUT", "workspaces/41", "all calls", id="changing one is not among the eight"),
        pytest.param("GET", "workspaces/41", "all calls", id="nor is reading one"),
        pytest.param("GET", "time_entries", "all calls", id="nor anything else"),
    ],
)
def test_which_budget_a_call_speaks_to(method: str, path: str, name: str) -> None:
    assert name_of(method, path) == name


def test_eight_endpoints_have_a_budget_of_their_own() -> None:
    assert len(OWN) == 8


def test_each_refusal_in_a_row_doubles_the_pause_up_to_a_limit() -> None:
    budgets = Budgets()
    pauses = [budgets.refused("GET", "users", 0.0) for _ in range(9)]
    assert pauses[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert pauses[-1] == MOST_S
    budgets.taken("GET", "users")
    assert budgets.refused("GET", "users", 0.0) == FIRST_S


def test_a_refused_endpoint_of_its_own_slows_down_nothing_else() -> None:
    budgets = Budgets()
    budgets.refused("GET", "workspaces", 100.0)
    assert budgets.due("GET", "workspaces", 100.0) == 100.0 + FIRST_S
    assert budgets.due("POST", "workspaces", 100.0) == 100.0
    assert budgets.due("GET", "time_entries", 100.0) == 100.0


def test_a_refusal_of_all_calls_closes_every_endpoint() -> None:
    budgets = Budgets()
    budgets.refused("GET", "time_entries", 100.0)
    assert budgets.due("GET", "workspaces", 100.0) == 100.0 + FIRST_S


def test_after_a_refusal_calls_are_spaced_until_many_went_through() -> None:
    budgets = Budgets()
    budgets.refused("GET", "workspaces", 0.0)
    at = [budgets.reserve("GET", "workspaces", 10.0) for _ in range(3)]
    assert at == [10.0, 10.0 + SPACE_S, 10.0 + 2 * SPACE_S]
    for _ in range(CALM):
        budgets.taken("GET", "workspaces")
    later = [budgets.reserve("GET", "workspaces", 100.0) for _ in range(3)]
    assert later == [100.0, 100.0, 100.0]


def test_the_space_has_a_limit() -> None:
    budgets = Budgets()
    for _ in range(20):
        budgets.refused("GET", "workspaces", 0.0)
    first, second = (budgets.reserve("GET", "workspaces", 1e6) for _ in range(2))
    assert second - first == SPACE_MOST_S
