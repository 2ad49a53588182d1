"""Reads back what Kantata holds as approved, by day of work instead of by change."""

from collections.abc import AsyncIterator
from datetime import date

from isthmus.sdk import Census, CensusRow, Context
from isthmus_kantata import translate
from isthmus_kantata.client import Client


class ApprovedWork(Census):
    """Approved time and expenses of a window; what is not approved is not listed.

    Milestones that stand completed are told for every window: Kantata does not list them by the day.
    """

    kinds = frozenset({"time", "expense", "milestone"})

    def __init__(self, client: Client, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx

    async def rows(self, kind: str, since: date, until: date) -> AsyncIterator[CensusRow]:
        if kind == "milestone":
            async for milestone in self._milestones():
                yield milestone
            return
        window = f"{since.isoformat()}:{until.isoformat()}"
        if kind == "time":
            collection, filter_name = "time_entries", "date_performed_between"
        else:
            collection, filter_name = "expenses", "date_expensed_between"
        params = {
            filter_name: window,
            "approved": "true",
            "from_archived_workspaces": "true",
            "order": "created_at:asc",
        }
        async for listing in self._client.every(collection, params):
            for row in listing.rows:
                if kind == "time":
                    yield CensusRow(
                        key=self._ctx.key(row["id"]),
                        remote_id=row["id"],
                        status="approved",
                        quantity=translate.hours_of(row.get("time_in_minutes")),
                        on=date.fromisoformat(row["date_performed"]),
                    )
                else:
                    currency = str(row.get("currency"))
                    yield CensusRow(
                        key=self._ctx.key(row["id"]),
                        remote_id=row["id"],
                        status="approved",
                        amount=translate.money_of(
                            row.get("amount_in_cents"), currency, row.get("currency_base_unit")
                        ),
                        currency=currency,
                    )

    async def _milestones(self) -> AsyncIterator[CensusRow]:
        hidden = {"show_archived": "true", "show_from_archived_workspaces": "true"}
        params = {"story_type": "milestone", "order": "created_at:asc", **hidden}
        async for listing in self._client.every("stories", params):
            for row in listing.rows:
                # A filter Kantata does not know it ignores.
                if row.get("story_type") == "milestone" and row.get("state") == "completed":
                    key = await self._ctx.crosswalk.key_of("milestone", row["id"])
                    yield CensusRow(
                        key=key or self._ctx.key(row["id"]), remote_id=row["id"], status="achieved"
                    )
