"""Keys that look alike are two keys, whatever NetSuite makes of them."""

import unicodedata
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
import pytest

from isthmus.events import BusinessEvent, CustomerChanged
from isthmus.sdk import Delivery, Opened, Receipt, Rejected, Sink
from isthmus_netsuite.client import Client
from isthmus_netsuite.records import Records
from isthmus_netsuite.simulator import NetSuiteSimulator

OpenWith = Callable[..., AbstractAsyncContextManager[Opened]]

ACCENT = "crm:Caf\u00e9"
PAIRS = [
    pytest.param("crm:A1", "crm:a1", True, id="case"),
    pytest.param("crm:A1", "crm:A1 ", True, id="a blank at the end"),
    pytest.param("crm:A1", "crm:A1\t", True, id="a tab at the end"),
    pytest.param(ACCENT, unicodedata.normalize("NFD", ACCENT), True, id="the form of an accent"),
    pytest.param("crm:1", "crm:01", False, id="a leading zero"),
    pytest.param("crm:A1", "crm:\uff211", False, id="full width"),
    pytest.param("crm:A1", "crm:A1\x00", False, id="a NUL"),
    pytest.param("crm:A%1", "crm:A%251", False, id="an escape"),
    pytest.param("crm:O'Hara", "crm:O''Hara", False, id="a quote doubled"),
]


async def outcome(sink: Sink, event: BusinessEvent) -> Receipt | Rejected:
    try:
        return await sink.deliver(Delivery(key=event.id, lane="netsuite", event=event))
    except Rejected as error:
        return error


@pytest.mark.parametrize("settings", [{}, {"writes": "batch"}, {"record_key": "custom_field"}], ids=str)
@pytest.mark.parametrize("folds", [pytest.param(False, id="exact"), pytest.param(True, id="folding")])
@pytest.mark.parametrize(("first", "second", "alike"), PAIRS)
async def test_no_pair_is_merged_in_silence(
    first: str,
    second: str,
    alike: bool,
    folds: bool,
    settings: dict[str, Any],
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    customer: CustomerChanged,
) -> None:
    """Two records with their own names, or a refusal that says why."""
    if folds:
        simulator.acts()["fold_external_ids"]()
    events = [
        msgspec.structs.replace(customer, id="", customer=key, name=f"Name of {n}")
        for n, key in enumerate((first, second))
    ]
    async with open_with(**settings) as opened:
        assert opened.sink is not None
        made = [await outcome(opened.sink, event) for event in events]
    records = list(simulator.ledger.of_kind("customer"))
    by_field = "record_key" in settings
    # A search for NUL is refused by SuiteQL itself; folded keys by us, before anything is written.
    refused = "\x00" in second if by_field else folds and alike
    assert isinstance(made[0], Receipt)
    assert isinstance(made[1], Rejected if refused else Receipt)
    if isinstance(made[1], Rejected):
        assert made[1].reason == ("value" if by_field else "duplicate")
    assert [record.fields["companyName"] for record in records] == ["Name of 0", "Name of 1"][: len(records)]
    assert len(records) == (1 if refused else 2)


async def test_without_a_look_the_second_would_take_the_first_ones_record(
    simulator: NetSuiteSimulator,
    open_with: OpenWith,
    customer: CustomerChanged,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant: an upsert straight away."""

    async def straight(records: Records, type: str, key: str, body: Any, *, once: str) -> str:
        client: Client = records._client
        return await client.upsert(type, records.name(key), body)

    monkeypatch.setattr(Records, "put", straight)
    simulator.acts()["fold_external_ids"]()
    async with open_with() as opened:
        assert opened.sink is not None
        for key in ("crm:A1", "crm:a1"):
            event = msgspec.structs.replace(customer, id="", customer=key, name=key)
            await outcome(opened.sink, event)
    (merged,) = simulator.ledger.of_kind("customer")
    assert merged.fields["companyName"] == "crm:a1"
