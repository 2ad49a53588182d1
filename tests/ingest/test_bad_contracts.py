"""A contract that its connector cannot read: a work item with the words, and nothing of it is lost."""

from typing import Any

import pytest

from isthmus.events import ContractSigned, ProjectCreated
from isthmus.ingest.record import record
from isthmus.process.preview import preview
from isthmus.sdk.connector import Refused
from isthmus.store.face import Store
from isthmus_salesforce.fields import OBJECTS
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.translate import Teller, contract_fact
from tests.ingest.given import INSTANCE, STREAM, cursor, ids, letters, now, page, time

STAMP = "2026-01-05T09:00:00.000+0000"
PLACE = "/services/data/v64.0/sobjects/Contract/C1"
CONTRACT = {
    "Name": "Rollout",
    "AccountId": "A1",
    "StatusCode": "Activated",
    "StartDate": "2026-02-01",
    "ActivatedDate": STAMP,
    "CustomerSignedDate": "2026-01-04",
    "CurrencyIsoCode": "EUR",
    "Time_Zone__c": "Europe/Berlin",
    "Revision__c": "1.0",
    "Opportunity__c": "O1",
    "Legal_Entity__c": "de",
}
HOURS = {"Line__c": "T", "Model__c": "time_and_materials", "Service__c": "consulting"}


def row(item: str, id: str, fields: dict[str, Any]) -> Row:
    blank = dict.fromkeys(OBJECTS[item])
    return Row(item, {**blank, "Id": id, "IsDeleted": False, "SystemModstamp": STAMP, **fields})


def read(stamp: str = STAMP, **line: Any) -> ContractSigned | Refused:
    """What the source makes of the contract: the fact, or what it refuses."""
    found = row("Contract", "C1", {**CONTRACT, "SystemModstamp": stamp})
    lines = [row("Contract_Line__c", "L1", {**HOURS, **line})]
    try:
        fact = contract_fact(found, lines, Teller("crm", "main"))
    except Untranslatable as error:
        return Refused(reason=str(error), place=PLACE, raw=repr((found.fields, lines[0].fields)).encode())
    assert isinstance(fact, ContractSigned)
    return fact


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(
            {"Rate__c": "0.0"}, "line 'T': rates.consulting must be more than 0, not 0.00", id="a free hour"
        ),
        pytest.param(
            {"Rate__c": "-5.0"}, "rates.consulting must be more than 0, not -5.00", id="a rate below 0"
        ),
        pytest.param(
            {"Rate__c": "100.0", "Cap_Amount__c": "-1.0"},
            "cap_amount must not be negative",
            id="a cap below 0",
        ),
        pytest.param({}, "is empty; fill in the rate of consulting, or Default_Rate__c", id="no rate"),
        pytest.param({"Model__c": "barter"}, "is barter; it is one of time_and_materials", id="a model"),
    ],
)
async def test_it_becomes_a_work_item_and_is_billed_once_it_is_mended(
    store: Store, line: dict[str, Any], words: str
) -> None:
    refused = read(**line)
    assert isinstance(refused, Refused)
    work = time("e1", project="crm:O1")
    kept = await record(store, INSTANCE, STREAM, page(work, to="1", refused=[refused]), now())
    assert (kept.new, kept.refused) == (1, 1)
    (letter,) = await letters(store)
    assert (letter.state, letter.payload_place) == ("open", PLACE)
    assert words in letter.reason
    assert await cursor(store) == b"1"

    mended = read("2026-01-06T09:00:00.000+0000", Rate__c="100.0")
    assert isinstance(mended, ContractSigned)
    await record(store, INSTANCE, STREAM, page(mended, to="2"), now())
    assert await ids(store) == [work.id, mended.id]
    created = ProjectCreated(
        source="setup",
        occurred_at=now(),
        entity="de",
        project="crm:O1",
        customer="crm:A1",
        name="P",
        stage="active",
    )
    said = [event.kind for event in preview([work, mended, created])]
    assert said == ["charge.held", "charge.determined", "charge.released"]
