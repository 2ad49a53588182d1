"""Each thing Salesforce can say meets its fate, on reading and on writing."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import msgspec
import pytest

from isthmus.events import PaymentReceived
from isthmus.sdk import (
    ConnectorError,
    Delivery,
    Fatal,
    Opened,
    Receipt,
    Rejected,
    Reply,
    Retryable,
    Throttled,
    Unsure,
)
from isthmus.sdk.simulator import Fault, Match
from isthmus_salesforce.errors import FATES, error_of, read_error
from isthmus_salesforce.simulator import Salesforce

Connect = Callable[..., AbstractAsyncContextManager[Opened]]
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
PAYMENT = Delivery(
    key="k",
    lane="crm",
    event=PaymentReceived(
        source="erp",
        occurred_at=AT,
        entity="de",
        payment="erp:p1",
        invoice="erp:1",
        received_on=AT.date(),
        amount=Decimal("40.00"),
        open_amount=Decimal("0.00"),
        currency="EUR",
    ),
)

TABLE: list[tuple[int, str, type[ConnectorError], type[ConnectorError], str | None]] = [
    # status, code, on writing, on reading, class of the dead letter
    (401, "INVALID_SESSION_ID", Fatal, Fatal, None),
    (401, "INVALID_AUTH_HEADER", Fatal, Fatal, None),
    (403, "API_DISABLED_FOR_ORG", Fatal, Fatal, None),
    (403, "API_CURRENTLY_DISABLED", Fatal, Fatal, None),
    (403, "INSUFFICIENT_ACCESS", Fatal, Fatal, None),
    (410, "UNSUPPORTED_API_VERSION", Fatal, Fatal, None),
    (400, "INVALID_FIELD", Fatal, Fatal, None),
    (400, "INVALID_FIELD_FOR_INSERT_UPDATE", Fatal, Fatal, None),
    (400, "INVALID_TYPE", Fatal, Fatal, None),
    (400, "MALFORMED_QUERY", Fatal, Fatal, None),
    (404, "NOT_FOUND", Fatal, Fatal, None),
    (400, "STORAGE_LIMIT_EXCEEDED", Fatal, Fatal, None),
    (403, "REQUEST_LIMIT_EXCEEDED", Throttled, Throttled, None),
    (403, "TXN_SECURITY_METERING_ERROR", Throttled, Throttled, None),
    (400, "UNABLE_TO_LOCK_ROW", Retryable, Retryable, None),
    (400, "QUERY_TIMEOUT", Retryable, Retryable, None),
    (503, "SERVER_UNAVAILABLE", Retryable, Retryable, None),
    (400, "INVALID_QUERY_LOCATOR", Retryable, Retryable, None),
    (500, "UNKNOWN_EXCEPTION", Unsure, Retryable, None),
    (400, "DUPLICATE_VALUE", Rejected, Fatal, "duplicate"),
    (400, "DUPLICATES_DETECTED", Rejected, Fatal, "duplicate"),
    (400, "DUPLICATE_EXTERNAL_ID", Rejected, Fatal, "duplicate"),
    (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", Rejected, Fatal, "value"),
    (400, "FIELD_INTEGRITY_EXCEPTION", Rejected, Fatal, "value"),
    (400, "STRING_TOO_LONG", Rejected, Fatal, "value"),
    (400, "NUMBER_OUTSIDE_VALID_RANGE", Rejected, Fatal, "value"),
    (400, "JSON_PARSER_ERROR", Rejected, Fatal, "value"),
    (400, "MALFORMED_ID", Rejected, Fatal, "value"),
    (400, "REQUIRED_FIELD_MISSING", Rejected, Fatal, "missing"),
    (400, "INVALID_CROSS_REFERENCE_KEY", Rejected, Fatal, "mapping"),
    (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", Rejected, Fatal, "mapping"),
    (404, "ENTITY_IS_DELETED", Rejected, Fatal, "mapping"),
    (400, "INSUFFICIENT_ACCESS_OR_READONLY", Rejected, Fatal, "permission"),
    (400, "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", Rejected, Fatal, "permission"),
    (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", Rejected, Fatal, "other"),
    (400, "SOMETHING_NEW", Rejected, Fatal, "other"),
    (500, "SOMETHING_NEW", Unsure, Retryable, None),
]
CASES = [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in TABLE]


def answer(status: int, code: str) -> Reply:
    body = [{"message": "in their words", "errorCode": code, "fields": []}]
    return Reply(status=status, headers={}, body=msgspec.json.encode(body))


def test_every_code_of_the_table_is_tried() -> None:
    assert {row[1] for row in TABLE} >= set(FATES)


@pytest.mark.parametrize(("status", "code", "on_write", "on_read", "reason"), CASES)
def test_the_fate_of_an_answer(
    status: int,
    code: str,
    on_write: type[ConnectorError],
    on_read: type[ConnectorError],
    reason: str | None,
) -> None:
    written = error_of(answer(status, code), write=True, pause_s=7)
    assert type(written) is on_write
    assert written.peer_words == f"{code}: in their words"
    assert not isinstance(written, Rejected) or written.reason == reason
    assert not isinstance(written, Throttled) or written.retry_after_s == 7
    assert type(read_error(answer(status, code), pause_s=7)) is on_read


DUPLICATE = "duplicate value found: Isthmus_Key__c duplicates value on record with id: a015g0000000001AAA"


@pytest.mark.parametrize(
    ("field", "fate", "told"),
    [
        pytest.param("Isthmus_Key__c", Retryable, "made meanwhile", id="our key: another upsert was first"),
        pytest.param(
            "Number__c", Rejected, "a015g0000000001AAA", id="another field: the other record is named"
        ),
    ],
)
@pytest.mark.parametrize("many", [False, True], ids=["one", "in a collection"])
async def test_a_duplicate_value_is_judged_by_its_field(
    sim: Salesforce, connect: Connect, many: bool, field: str, fate: type[ConnectorError], told: str
) -> None:
    problem = {"message": DUPLICATE, "fields": [field]}
    single = Fault(fault="status", status=400, body=[{**problem, "errorCode": "DUPLICATE_VALUE"}])
    failed = {"success": False, "errors": [{**problem, "statusCode": "DUPLICATE_VALUE"}]}
    rows = Fault(fault="wrong_body", body=[failed, failed])
    chosen = rows if many else single
    given = {name: getattr(chosen, name) for name in Fault.__struct_fields__}
    async with connect() as opened:
        assert opened.sink is not None
        sim.faults.add([Fault(**{**given, "match": Match(method="PATCH")})])
        outcomes = await opened.sink.deliver_many([PAYMENT] * (2 if many else 1))
    for outcome in outcomes:
        assert type(outcome) is fate
        assert told in str(outcome)


@pytest.mark.parametrize("save", [False, True])
async def test_a_duplicate_rule_warns_or_is_overruled(sim: Salesforce, connect: Connect, save: bool) -> None:
    sim.acts()["set_duplicate_rule"]("Invoice__c", "Status__c")
    first = msgspec.structs.replace(PAYMENT.event, invoice="erp:1", id="1")
    second = msgspec.structs.replace(PAYMENT.event, invoice="erp:2", id="2")
    async with connect(save_duplicates=save) as opened:
        assert opened.sink is not None
        await opened.sink.deliver(msgspec.structs.replace(PAYMENT, event=first))
        (outcome,) = await opened.sink.deliver_many([msgspec.structs.replace(PAYMENT, event=second)])
    assert isinstance(outcome, Receipt if save else Rejected)
    assert isinstance(outcome, Receipt) or outcome.reason == "duplicate"


@pytest.mark.parametrize(
    ("fault", "on_write", "on_read"),
    [
        pytest.param(Fault(fault="throttle", retry_after_s=3), Throttled, Throttled, id="429"),
        pytest.param(
            Fault(fault="status", status=503, headers={"retry-after": "3"}),
            Throttled,
            Throttled,
            id="503 with a time",
        ),
        pytest.param(Fault(fault="status", status=502, body="<html>"), Unsure, Retryable, id="a proxy's 502"),
        pytest.param(Fault(fault="lose_response"), Unsure, Retryable, id="a lost answer"),
        pytest.param(Fault(fault="truncate"), Unsure, Retryable, id="half an answer"),
        pytest.param(Fault(fault="wrong_body", body="<html>"), Unsure, Retryable, id="a page under a 200"),
        pytest.param(Fault(fault="wrong_body", body={}), Unsure, Retryable, id="an empty object"),
        pytest.param(
            Fault(fault="status", status=302, headers={"location": "http://127.0.0.2/"}),
            Fatal,
            Fatal,
            id="302",
        ),
        pytest.param(
            Fault(fault="status", status=300, body=["/services/data/v64.0/sobjects/Invoice__c/1"]),
            Rejected,
            Fatal,
            id="300: several records have the key",
        ),
    ],
)
async def test_what_lies_below_salesforce(
    sim: Salesforce,
    connect: Connect,
    fault: Fault,
    on_write: type[ConnectorError],
    on_read: type[ConnectorError],
) -> None:
    async with connect() as opened:
        assert opened.sink is not None and opened.source is not None
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "PATCH": partial(opened.sink.deliver, PAYMENT),
            "GET": partial(opened.source.pull, "accounts", None),
        }
        await calls["GET"]()
        for (method, call), fate in zip(calls.items(), (on_write, on_read), strict=True):
            given = {name: getattr(fault, name) for name in fault.__struct_fields__}
            sim.faults.add([Fault(**{**given, "match": Match(method=method), "fired": 0})])
            with pytest.raises(ConnectorError) as caught:
                await call()
            assert type(caught.value) is fate


async def test_the_calls_of_a_day_are_used_up(sim: Salesforce, connect: Connect) -> None:
    async with connect() as opened:
        assert opened.sink is not None
        sim.acts()["use_up_calls"](used=15_000)
        with pytest.raises(Throttled) as caught:
            await opened.sink.deliver(PAYMENT)
        assert "TotalRequests Limit exceeded" in (caught.value.peer_words or "")
