"""Reads back what the CRM holds, by the day of the business instead of the stamp of a change."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

from isthmus.sdk import Census, CensusRow, Context
from isthmus_salesforce import sweep
from isthmus_salesforce.client import Client
from isthmus_salesforce.fields import KEY
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.settings import SalesforceSettings


class Sold(Census):
    """Deals won, by the day they were closed; invoices, by the day they arrived here."""

    kinds = frozenset({"deal", "invoice"})

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        if kind == "deal":
            dated = [f"CloseDate >= {since} AND CloseDate <= {until}", "IsWon = true"]
            async for row in read(self._client, self._settings, "Opportunity", dated):
                yield money_row(row, self._ctx.key(row.id), "won", "Amount")
        else:
            after = until + timedelta(days=1)
            dated = [f"CreatedDate >= {since}T00:00:00Z AND CreatedDate < {after}T00:00:00Z"]
            async for row in read(self._client, self._settings, "Invoice__c", dated):
                status = (row.text("Status__c") or "unknown").lower().replace(" ", "_")
                yield money_row(row, row.text(KEY) or self._ctx.key(row.id), status, "Total__c")


async def read(
    client: Client, settings: SalesforceSettings, item: str, where: list[str]
) -> AsyncIterator[Row]:
    """The records of our object ``item`` that fit, under our field names."""
    columns = sweep.columns(item, settings)
    async for record in client.each(columns, settings.named(item), where=where):
        yield Row(item, sweep.renamed(item, record, settings))


def money_row(row: Row, key: str, status: str, field: str) -> CensusRow:
    """A record with its amount; one that nobody can read is counted as what it is."""
    try:
        currency = row.need("CurrencyIsoCode")
        amount = row.money(field, currency)
    except Untranslatable:
        return CensusRow(key=key, remote_id=row.id, status="unreadable")
    return CensusRow(key=key, remote_id=row.id, status=status, amount=amount, currency=currency)
