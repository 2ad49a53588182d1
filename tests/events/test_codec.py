"""Every shape goes to JSON and back; what we do not know is refused, with the place."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from isthmus.events import (
    CURRENT_TYPES,
    KINDS,
    BusinessEvent,
    EventRefused,
    ExpenseValidated,
    TimeApproved,
    decode,
    derived_id,
    encode,
    kind_of,
)
from isthmus.events.codec import ALL_TYPES
from isthmus.events.upcast import fields_of, register, retired
from isthmus.events.values import Amount, Hours

OLD = Path(__file__).parent / "old"
WORDS = {
    "currency": "EUR",
    "time_zone": "Europe/Berlin",
    "occurred_at": "2026-10-05T08:00:00+02:00",
    "as_of": "2026-10-05T08:00:00Z",
    "starts_on": "2026-10-01",
    "ends_on": "2026-10-31",
}
LINES: list[dict[str, Any]] = [
    {
        "model": "time_and_materials",
        "line": "T",
        "services": ["consulting"],
        "dimensions": {"department": "10"},
        "rates": {"consulting": "150.00"},
        "included_hours": "10",
        "cap_amount": "1000.00",
        "overage": "bill",
        "overage_rate": "170.00",
        "expenses": True,
        "expense_cap": "500.00",
    },
    {
        "model": "milestone",
        "line": "M",
        "milestones": [{"milestone": "m1", "title": "Go live", "amount": "20000.00", "advance": True}],
    },
    {
        "model": "fixed_fee",
        "line": "F",
        "amount": "10.00",
        "installments": [
            {"key": "1", "due_on": "2026-10-01", "amount": "4.00"},
            {"key": "2", "due_on": "2026-11-01", "amount": "6.00"},
        ],
    },
    {
        "model": "retainer",
        "line": "R",
        "amount": "100.00",
        "every": "quarter",
        "starts_on": "2026-10-01",
        "included_hours": "5",
        "overage_rate": "90.00",
        "rollover": "all",
    },
    {"model": "subscription", "line": "S", "amount": "9.00", "every": "year", "starts_on": "2026-10-01"},
]


def example(event_type: type[BusinessEvent]) -> dict[str, Any]:
    """A payload with every field of the type filled, the optional ones too."""
    payload: dict[str, Any] = {"type": event_type.__struct_config__.tag}
    for item in msgspec.structs.fields(event_type):
        payload[item.name] = LINES if item.name == "lines" else value_for(item.name, item.type)
    return payload


def value_for(name: str, wanted: Any) -> Any:
    if name in WORDS:
        return WORDS[name]
    options = [option for option in get_args(wanted) if option is not type(None)]
    if get_origin(wanted) is Literal:
        return options[0]
    if wanted in (Amount, Hours, Decimal):
        return "12.50"
    plain = {str: f"test:{name}", int: 3, bool: True, date: "2026-10-05", datetime: "2026-10-05T08:00:00Z"}
    if wanted in plain:
        return plain[wanted]
    origin = get_origin(wanted)
    if origin is list:
        return [value_for(name, options[0])]
    if origin is dict:
        return {"department": value_for(name, options[1])}
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return {item.name: value_for(item.name, item.type) for item in msgspec.structs.fields(wanted)}
    return value_for(name, options[0])


@pytest.mark.parametrize("tag", sorted(CURRENT_TYPES))
def test_every_type_goes_to_json_and_back(tag: str) -> None:
    payload = example(CURRENT_TYPES[tag])
    event = decode(json.dumps(payload))
    assert type(event) is CURRENT_TYPES[tag]
    assert decode(encode(event)) == event
    again = json.loads(encode(event))
    assert next(iter(again)) == "type"
    for name, value in payload.items():
        if name not in ("lines", "occurred_at"):
            assert again[name] == value, name
    assert encode(decode(encode(event))) == encode(event)


@pytest.mark.parametrize("tag", sorted(CURRENT_TYPES))
def test_a_missing_required_field_is_named(tag: str) -> None:
    event_type = CURRENT_TYPES[tag]
    for item in msgspec.structs.fields(event_type):
        if not item.required:
            continue
        payload = example(event_type)
        del payload[item.name]
        with pytest.raises(EventRefused, match=f"`{item.name}`"):
            decode(json.dumps(payload))


@pytest.mark.parametrize("tag", sorted(CURRENT_TYPES))
def test_every_event_has_an_envelope_a_subject_and_a_thread(tag: str) -> None:
    event = decode(json.dumps(example(CURRENT_TYPES[tag])))
    assert event.kind == kind_of(type(event)) == tag.partition("/")[0]
    assert event.kind in KINDS
    assert event.subject
    assert event.thread
    assert event.occurred_at.tzinfo is not None


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        pytest.param("not json", "malformed", id="no JSON"),
        pytest.param("[]", "array", id="not an object"),
        pytest.param("{}", "type", id="no type"),
        pytest.param('{"type":"time.aproved/1"}', r"time\.aproved/1.*\$\.type", id="a misspelt type"),
        pytest.param(
            '{"type":"time.approved/9"}', r"time\.approved/9.*\$\.type", id="a version of the future"
        ),
        pytest.param("[" * 100_000, "deep|recursion|array", id="nested without end"),
        pytest.param(b"\xff\xfe", ".", id="no text"),
    ],
)
def test_what_we_do_not_know_is_refused(payload: str | bytes, place: str) -> None:
    with pytest.raises(EventRefused, match=place):
        decode(payload)


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        pytest.param(
            "occurred_at", "2026-10-05T08:00:00", r"\$\.occurred_at", id="an instant without offset"
        ),
        pytest.param("worked_on", "05.10.2026", r"\$\.worked_on", id="a date of another form"),
        pytest.param("entry", "", r"\$\.entry", id="an empty key"),
        pytest.param("entry", "x" * 201, r"\$\.entry", id="a key without end"),
        pytest.param("revision", "1", r"\$\.revision", id="a revision that is text"),
        pytest.param("billable", "yes", r"\$\.billable", id="a flag that is text"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(field: str, value: Any, place: str) -> None:
    payload = {**example(TimeApproved), field: value}
    with pytest.raises(EventRefused, match=place):
        decode(json.dumps(payload))


def test_an_unknown_field_of_a_newer_release_is_passed_over() -> None:
    payload = {**example(TimeApproved), "mood": "good"}
    assert decode(json.dumps(payload)) == decode(json.dumps(example(TimeApproved)))


def contract(**changes: Any) -> str:
    return json.dumps({**example(CURRENT_TYPES["contract.signed/1"]), **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"revision": 0}, "counts from 1", id="revision 0"),
        pytest.param({"ends_on": "2026-09-30"}, "before starts_on", id="an end before the start"),
        pytest.param({"lines": [LINES[0], LINES[0]]}, "T stands twice", id="two lines of one name"),
        pytest.param(
            {"lines": [{**LINES[2], "amount": "11.00"}]}, "not to amount 11.00", id="a wrong sum"
        ),
        pytest.param({"lines": [{**LINES[0], "default_rate": "0"}]}, "more than 0", id="a rate of nothing"),
        pytest.param({"lines": [{**LINES[0], "cap_amount": "-1"}]}, "not be negative", id="a cap below zero"),
        pytest.param({"lines": [{**LINES[0], "model": "barter"}]}, "barter", id="an unknown model"),
        pytest.param({"currency": "JPY", "lines": [
            {"model": "milestone", "line": "M",
             "milestones": [{"milestone": "m", "title": "t", "amount": "0.50"}]}
        ]}, "0 digits of JPY", id="half a yen"),
    ],
)  # fmt: skip
def test_a_contract_that_contradicts_itself_is_refused(changes: dict[str, Any], words: str) -> None:
    decode(contract())
    with pytest.raises(EventRefused, match=words):
        decode(contract(**changes))


# Identity


def test_the_same_fact_read_twice_has_the_same_id() -> None:
    payload = example(TimeApproved)
    del payload["id"]
    first, second = decode(json.dumps(payload)), decode(json.dumps({**payload, "note": "read again"}))
    assert first.id == second.id == "test:source/time.approved/test:entry/3"


@pytest.mark.parametrize("field", ["source", "entry"])
def test_another_fact_has_another_id(field: str) -> None:
    payload = example(TimeApproved)
    del payload["id"]
    assert decode(json.dumps(payload)).id != decode(json.dumps({**payload, field: "other:1"})).id
    assert decode(json.dumps(payload)).id != decode(json.dumps({**payload, "revision": 4})).id


def test_a_derived_id_names_process_kind_cause_and_place() -> None:
    assert derived_id("billing", "charge.held", "psa/time.approved/psa:1/1", 2) == (
        "billing/charge.held/psa/time.approved/psa:1/1/2"
    )


# Old shapes


@pytest.mark.parametrize("path", sorted(OLD.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_written_once_stays_readable(path: Path) -> None:
    event = decode(path.read_bytes())
    assert type(event) in CURRENT_TYPES.values()
    assert decode(encode(event)) == event


def test_every_retired_shape_has_a_stored_payload() -> None:
    stored = {json.loads(path.read_bytes())["type"] for path in OLD.glob("*.json")}
    assert stored == {item.__struct_config__.tag for item in retired()}
    assert {item for item in ALL_TYPES if item not in CURRENT_TYPES.values()} == retired()


def test_the_pilots_expense_is_read_in_todays_shape() -> None:
    event = decode((OLD / "expense.validated-0.json").read_bytes())
    assert event == ExpenseValidated(
        id="psa/expense.validated/psa:X-17/2",
        source="psa",
        occurred_at=datetime(2025, 3, 4, 8, 30, tzinfo=UTC),
        entity="de",
        expense="psa:X-17",
        revision=2,
        project="crm:P1",
        resource="hr:R1",
        category="travel",
        spent_on=date(2025, 3, 3),
        amount=Decimal("123.45"),
        currency="EUR",
        billable=True,
    )


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "12345"), ("EUR", "123.45"), ("KWD", "12.345")])
def test_minor_units_of_old_expenses_are_those_of_their_currency(currency: str, amount: str) -> None:
    payload = json.loads((OLD / "expense.validated-0.json").read_bytes())
    event = decode(json.dumps({**payload, "currency": currency}))
    assert isinstance(event, ExpenseValidated)
    assert str(event.amount) == amount


def test_an_upcast_is_registered_once_and_for_an_event() -> None:
    (old,) = retired()

    def again(event: old) -> BusinessEvent:  # type: ignore[valid-type]
        raise AssertionError

    again.__annotations__["event"] = old
    with pytest.raises(TypeError, match="has an upcast already"):
        register(again)

    def vague(event: int) -> BusinessEvent:
        raise AssertionError

    with pytest.raises(TypeError, match="annotated with the retired event type"):
        register(vague)


def test_the_fields_of_an_event_rebuild_it() -> None:
    event = decode(json.dumps(example(TimeApproved)))
    assert TimeApproved(**fields_of(event)) == event
