"""The simulator's SOQL: what it finds, and what it refuses as Salesforce does."""

from datetime import date
from typing import Any

import pytest

from isthmus_salesforce.simulator import Salesforce
from isthmus_salesforce.simulator.query import check_fields, chosen_rows, java_double, shown
from isthmus_salesforce.simulator.soql import SoqlRefused, parse

TODAY = date(2026, 1, 5)


@pytest.fixture(scope="module")
def org() -> Any:
    """Three accounts, two deals, one of an account that was deleted."""
    simulator = Salesforce()
    acts, org = simulator.acts(), simulator.org
    ids = {}
    for name, kind in (("Acme", "Customer"), ("Beta 100%", None), ("gamma_x", "Partner")):
        ids[name] = acts["add_account"](name=name, Type=kind)["account"]
    deal = {"StageName": "Prospecting", "CloseDate": "2026-01-05", "AccountId": ids["Acme"]}
    org.create(org.object("Opportunity"), {**deal, "Name": "Small", "Amount": 99.5})
    org.create(
        org.object("Opportunity"),
        {**deal, "Name": "Big", "Amount": 5, "StageName": "Closed Won", "CloseDate": "2026-01-04"},
    )
    acts["delete_account"]("gamma_x")
    return org


def found(org: Any, soql: str, *, deleted: bool = False) -> list[str]:
    query = parse(soql)
    check_fields(org, query)
    return [row["Name"] for row in chosen_rows(org, query, deleted=deleted, today=TODAY)]


@pytest.mark.parametrize(
    ("soql", "names"),
    [
        pytest.param("FROM Account", ["Acme", "Beta 100%"], id="what is deleted does not show"),
        pytest.param("FROM Account WHERE Name = 'ACME'", ["Acme"], id="text is compared without case"),
        pytest.param("FROM Account WHERE Type = null", ["Beta 100%"], id="null"),
        pytest.param("FROM Account WHERE Type != 'Customer'", ["Beta 100%"], id="null is not equal to text"),
        pytest.param("FROM Account WHERE Name LIKE 'a%'", ["Acme"], id="like with percent"),
        pytest.param("FROM Account WHERE Name LIKE '_eta%'", ["Beta 100%"], id="like with underscore"),
        pytest.param("FROM Account WHERE Name IN ('acme', 'x')", ["Acme"], id="in"),
        pytest.param("FROM Account WHERE Name NOT IN ('acme')", ["Beta 100%"], id="not in"),
        pytest.param(
            "FROM Account WHERE (Name = 'Acme' AND Type = null) OR Name LIKE 'b%'",
            ["Beta 100%"],
            id="and, or",
        ),
        pytest.param("FROM Account WHERE NOT Name = 'Acme'", ["Beta 100%"], id="not"),
        pytest.param("FROM Account ORDER BY Name DESC", ["Beta 100%", "Acme"], id="descending"),
        pytest.param("FROM Account ORDER BY Type", ["Beta 100%", "Acme"], id="nulls first"),
        pytest.param("FROM Account ORDER BY Type NULLS LAST", ["Acme", "Beta 100%"], id="nulls last"),
        pytest.param("FROM Account ORDER BY Name LIMIT 1 OFFSET 1", ["Beta 100%"], id="limit and offset"),
        pytest.param("FROM Opportunity WHERE Amount > 5", ["Small"], id="a number"),
        pytest.param("FROM Opportunity WHERE Amount >= 5.0 ORDER BY Amount", ["Big", "Small"], id="at least"),
        pytest.param("FROM Opportunity WHERE IsWon = true", ["Big"], id="a flag"),
        pytest.param("FROM Opportunity WHERE CloseDate < 2026-01-05", ["Big"], id="a day"),
        pytest.param("FROM Opportunity WHERE CloseDate = YESTERDAY", ["Big"], id="yesterday"),
        pytest.param("FROM Opportunity WHERE CloseDate >= LAST_N_DAYS:0", ["Small"], id="last days"),
        pytest.param(
            "FROM Opportunity WHERE SystemModstamp > 2020-01-01T00:00:00.000+0000 AND IsWon = true",
            ["Big"],
            id="an instant without a colon",
        ),
        pytest.param(
            "FROM Opportunity WHERE CreatedDate > 2020-01-01T00:00:00Z AND IsWon = true", ["Big"], id="with Z"
        ),
        pytest.param("FROM Opportunity WHERE Account.Name = 'Acme' AND IsWon = true", ["Big"], id="a parent"),
        pytest.param(
            "FROM Account WHERE Id IN (SELECT AccountId FROM Opportunity)", ["Acme"], id="a query within"
        ),
        pytest.param("FROM Account a WHERE a.Name = 'Acme'", ["Acme"], id="an alias"),
    ],
)
def test_what_is_found(org: Any, soql: str, names: list[str]) -> None:
    assert found(org, f"SELECT Id, Name {soql}") == names


def test_deleted_records_show_when_asked_for(org: Any) -> None:
    assert found(org, "SELECT Name FROM Account WHERE IsDeleted = true", deleted=True) == ["gamma_x"]


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        pytest.param(
            "SELECT Id FROM Account WHERE Name = 'a' AND Type = 'b' OR Id = null",
            "MALFORMED",
            "OR",
            id="and beside or without parentheses",
        ),
        pytest.param("SELECT Id FROM Account WHERE", "MALFORMED", "<EOF>", id="nothing after where"),
        pytest.param("SELECT Id Account", "MALFORMED", "Account", id="no from"),
        pytest.param("SELECT Id FROM Account;", "MALFORMED", ";", id="a semicolon"),
        pytest.param(
            "SELECT Id FROM Account WHERE Name = 'it's'", "MALFORMED", "token", id="an unescaped quote"
        ),
        pytest.param("SELECT Id FROM Nothing", "INVALID_TYPE", "Nothing", id="an unknown object"),
        pytest.param("SELECT Nope FROM Account", "INVALID_FIELD", "Nope", id="an unknown field"),
        pytest.param("SELECT Id FROM Account WHERE Nope = 1", "INVALID_FIELD", "Nope", id="in a condition"),
        pytest.param("SELECT Id FROM Account ORDER BY Nope", "INVALID_FIELD", "Nope", id="in the order"),
        pytest.param("SELECT Boss.Name FROM Account", "INVALID_FIELD", "Boss", id="an unknown parent"),
        pytest.param(
            "SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "should not be enclosed",
            id="a quoted instant",
        ),
        pytest.param(
            "SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "should be enclosed", id="bare text"
        ),
        pytest.param("SELECT FIELDS(ALL) FROM Account", "MALFORMED", "LIMIT", id="all fields of all rows"),
    ],
)
def test_what_is_refused(org: Any, soql: str, code: str, words: str) -> None:
    with pytest.raises(SoqlRefused, match=words) as refusal:
        found(org, soql)
    assert refusal.value.code.startswith(code)


def test_only_asked_fields_show_and_parents_are_nested(org: Any) -> None:
    query = parse("SELECT Name, Account.Name, Account.Owner.Username FROM Opportunity WHERE IsWon = true")
    (row,) = chosen_rows(org, query, deleted=False, today=TODAY)
    answer = shown(org, query, row, "v64.0")
    assert answer["attributes"] == {
        "type": "Opportunity",
        "url": f"/services/data/v64.0/sobjects/Opportunity/{row['Id']}",
    }
    assert set(answer) == {"attributes", "Name", "Account"}
    assert (answer["Account"]["Name"], set(answer["Account"])) == ("Acme", {"attributes", "Name", "Owner"})
    assert answer["Account"]["Owner"]["Username"] == "consultant@isthmus.example"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (100.0, "100.0"),
        (937.5, "937.5"),
        (1e7, "1.0E7"),
        (20000000.5, "2.00000005E7"),
        (-3e9, "-3.0E9"),
    ],
)
def test_doubles_look_as_java_prints_them(value: float, text: str) -> None:
    assert java_double(value) == text
    assert float(text) == value
