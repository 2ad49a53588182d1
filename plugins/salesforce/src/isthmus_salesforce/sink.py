"""Invoices and payments into ``Invoice__c``, upserted by our key."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from isthmus.events import BusinessEvent, InvoiceReleased
from isthmus.sdk import (
    ConnectorError,
    Context,
    Delivery,
    DeliveryClass,
    Link,
    Receipt,
    Rejected,
    Sink,
    Unmet,
    Unsure,
)
from isthmus_salesforce.client import Client, Upserted, check_key, number, one_of, portions, select
from isthmus_salesforce.locks import OneByOne
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.translate import HeldInvoice, InvoiceFact, invoice_body

ITEM, KEY = "Invoice__c", "Isthmus_Key__c"


class Prepared(msgspec.Struct, frozen=True):
    """A delivery ready to be sent."""

    event: InvoiceFact
    held: HeldInvoice | None
    body: dict[str, Any]
    account: str | None
    """The parent it hangs on, which Salesforce locks while it writes."""


class Invoices(Sink):
    """The CRM's picture of the ERP's invoices. The ERP is right: what it says replaces what is here."""

    accepts = frozenset({"invoice.released", "invoice.voided", "payment.received"})
    batch_max = 50
    """The keys of a batch are looked up before; as a rule they fit into the URL of one query."""
    concurrency = 4

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context, schema: Schema) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._schema = schema
        self._parents = OneByOne()
        self._item, self._key = settings.named(ITEM), settings.named(KEY)

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        """A: the external id is ours and unique."""
        return DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        await self._schema.ensure(ITEM)
        event = _fact(delivery)
        held = (await self._held([event.invoice])).get(event.invoice)
        ready = await self._prepared(event, held)
        async with self._parents.on([ready.account]):
            answer = await self._client.upsert(self._item, self._key, event.invoice, ready.body)
        if answer.id is None and held is None:
            # An old API version does not name what it made.
            again = (await self._held([event.invoice])).get(event.invoice)
            if again is None:
                raise Unsure(f"{event.invoice} was taken, but is not there")
            answer = Upserted(id=again.id, created=True)
        return _receipt(ready, answer)

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        if len(deliveries) == 1:
            return await super().deliver_many(deliveries)
        await self._schema.ensure(ITEM)
        outcomes: dict[int, Receipt | ConnectorError] = {}
        ready: dict[int, Prepared] = {}
        events = [_fact(delivery) for delivery in deliveries]
        held = await self._held([event.invoice for event in events])
        for n, event in enumerate(events):
            try:
                ready[n] = await self._prepared(event, held.get(event.invoice))
            except ConnectorError as error:
                outcomes[n] = error
        rows = [(one.event.invoice, one.body) for one in ready.values()]
        async with self._parents.on(one.account for one in ready.values()):
            answers = await self._client.upsert_many(self._item, self._key, rows) if rows else []
        for (n, one), answer in zip(ready.items(), answers, strict=True):
            try:
                outcomes[n] = answer if isinstance(answer, ConnectorError) else _receipt(one, answer)
            except ConnectorError as error:
                outcomes[n] = error
        return [outcomes[n] for n in range(len(deliveries))]

    async def _held(self, keys: Sequence[str]) -> dict[str, HeldInvoice]:
        """The rows that have these keys already. Where two have one key, the upsert will be refused."""
        named = self._settings.named
        fields = [named(field) for field in ("Isthmus_Key__c", "Number__c", "Status__c", "Total__c")]
        held: dict[str, HeldInvoice] = {}
        for part in portions(keys):
            query = select(["Id", *fields], self._item, where=[one_of(self._key, part)])
            for record in await self._client.rows(query):
                key, invoice_number, status, total = (record.get(field) for field in fields)
                held[str(key)] = HeldInvoice(
                    id=str(record["Id"]), number=invoice_number, status=status, total=number(total)
                )
        return held

    async def _prepared(self, event: InvoiceFact, held: HeldInvoice | None) -> Prepared:
        """
        Raises:
            Unmet: the customer or the project is not known here yet.
            Rejected: the org cannot hold it.
        """
        settings = self._settings
        check_key(event.invoice)
        if settings.currency is not None and event.currency != settings.currency:
            raise Rejected(
                f"{event.invoice} is in {event.currency}, the org has only {settings.currency}",
                reason="mapping",
            )
        account = deal = None
        if isinstance(event, InvoiceReleased):
            account = await self._known("customer", event.customer)
            if held is not None and held.number not in (None, event.number):
                raise Rejected(
                    f"{held.id} has the key {event.invoice} but is invoice {held.number}, not {event.number}",
                    reason="duplicate",
                )
        if event.project is not None:
            deal = await self._known("project", event.project)
        body = invoice_body(event, held, account=account, deal=deal)
        return Prepared(event, held, self._in_their_names(body), account)

    async def _known(self, kind: str, key: str) -> str:
        id = await self._ctx.crosswalk.remote_id(kind, key)
        if id is None:
            raise Unmet(f"{kind} {key} is not known in Salesforce yet")
        return id

    def _in_their_names(self, body: Mapping[str, Any]) -> dict[str, Any]:
        skipped = {"CurrencyIsoCode"} if self._settings.currency else set()
        return {self._settings.named(name): value for name, value in body.items() if name not in skipped}


def _fact(delivery: Delivery) -> InvoiceFact:
    return cast(InvoiceFact, delivery.event)


def _receipt(ready: Prepared, answer: Upserted) -> Receipt:
    """The proof of a delivery.

    Raises:
        Unsure: the answer names another record than the one that has our key.
    """
    event, held = ready.event, ready.held
    id = answer.id or (held.id if held else None)
    if id is None or (held is not None and id != held.id) or (held is None and answer.created is False):
        known = held.id if held else "none"
        raise Unsure(f"{event.invoice}: the answer names {id}, the record with our key is {known}")
    words = {"invoice.released": "released", "invoice.voided": "voided", "payment.received": "paid"}
    detail = f"{words[event.kind]}, {'new' if held is None else 'changed'}"
    return Receipt(remote_id=id, detail=detail, links=[Link(kind="invoice", key=event.invoice, remote_id=id)])
