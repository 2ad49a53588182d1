"""Reads back what Certinia holds as approved, by the day of work instead of the stamp of a change."""

from collections.abc import AsyncIterator
from datetime import date

from isthmus.sdk import Census, CensusRow, Context
from isthmus_salesforce.census import money_row, read
from isthmus_salesforce.certinia import translate
from isthmus_salesforce.certinia.translate import Teller
from isthmus_salesforce.client import Client
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.settings import SalesforceSettings

APPROVED = "pse__Approved__c = true"


class ApprovedWork(Census):
    """Approved days, expenses and milestones of a window; what is not approved is not listed."""

    kinds = frozenset({"time", "expense", "milestone"})

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._teller = Teller(instance=ctx.instance, entity=ctx.entity, settings=settings.certinia)

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        match kind:
            case "time":
                dated = f"pse__End_Date__c >= {since} AND pse__Start_Date__c <= {until}"
                async for row in read(self._client, self._settings, "pse__Timecard__c", [APPROVED, dated]):
                    for found in self._days(row, since, until):
                        yield found
            case "expense":
                dated = f"pse__Expense_Date__c >= {since} AND pse__Expense_Date__c <= {until}"
                async for row in read(self._client, self._settings, "pse__Expense__c", [APPROVED, dated]):
                    yield money_row(row, self._teller.key(row.id), "approved", "pse__Amount__c")
            case "milestone":
                dated = f"pse__Actual_Date__c >= {since} AND pse__Actual_Date__c <= {until}"
                async for row in read(self._client, self._settings, "pse__Milestone__c", [APPROVED, dated]):
                    key = translate.milestone_key(row, self._teller)
                    yield money_row(row, key, "achieved", "pse__Milestone_Amount__c")

    def _days(self, row: Row, since: date, until: date) -> list[CensusRow]:
        """The days of a split within the window that have hours."""
        try:
            days = list(translate.worked(row))
        except Untranslatable:
            return [CensusRow(key=self._teller.key(row.id), remote_id=row.id, status="unreadable")]
        return [
            CensusRow(
                key=self._teller.key(translate.entry_of(row, one.day)),
                remote_id=row.id,
                status="approved",
                quantity=one.hours,
            )
            for one in days
            if one.hours and since <= one.day <= until
        ]
