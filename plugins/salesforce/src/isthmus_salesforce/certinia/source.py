"""What delivery did in Certinia PSA: people, stages, assignments, approved splits, expenses, milestones.

Certinia shows what is, not what was: whether something was told before, and must be taken back now, is known
from the crosswalk, where each approved fact left a link.
"""

from isthmus.sdk import Context
from isthmus_salesforce.certinia import translate
from isthmus_salesforce.certinia.translate import Teller
from isthmus_salesforce.client import Client, Login
from isthmus_salesforce.poll import Polled, Told
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings

ACHIEVED = "achieved_milestone"
"""Links of this kind say that a milestone was told as achieved; ``milestone`` only says that it is here."""


class Delivered(Polled):
    """Certinia's streams."""

    def __init__(
        self, client: Client, settings: SalesforceSettings, ctx: Context, schema: Schema, login: Login
    ) -> None:
        super().__init__(client, settings, ctx, schema)
        self._login = login
        self._teller = Teller(instance=ctx.instance, entity=ctx.entity, settings=settings.certinia)

    async def tell(self, stream: str, rows: list[Row], told: Told) -> None:
        for row in rows:
            try:
                await self._tell(stream, row, told)
            except Untranslatable as error:
                told.refuse(row, error)

    async def _tell(self, stream: str, row: Row, told: Told) -> None:
        match stream:
            case "resources":
                told.events.append(translate.resource_changed(row, self._teller))
                told.link("resource", self._teller.key(row.id), row.id)
            case "projects":
                self._stage(row, told)
            case "assignments":
                await self._assignment(row, told)
            case "timecards":
                await self._split(row, told)
            case "expenses":
                await self._expense(row, told)
            case "milestones":
                await self._milestone(row, told)

    def _stage(self, row: Row, told: Told) -> None:
        """What isthmus itself wrote is told already."""
        if row.text("CreatedById") == self._login.user_id:
            return
        fact = translate.stage_changed(row, self._teller)
        if fact is not None:
            told.events.append(fact)
            told.link("project", fact.project, row.need("ParentId"))

    async def _assignment(self, row: Row, told: Told) -> None:
        key = self._teller.key(row.id)
        if row.deleted or row.text("pse__Status__c") in self._settings.certinia.ended:
            if await self._was_told("assignment", key):
                told.events.append(translate.assignment_ended(row, self._teller))
            return
        told.events.append(translate.assignment_changed(row, self._teller))
        told.link("assignment", key, row.id)

    async def _split(self, row: Row, told: Told) -> None:
        """Each day of a split: told, taken back, or neither."""
        stands = row.flag("pse__Approved__c") and not row.deleted
        for one in translate.worked(row):
            entry = translate.entry_of(row, one.day)
            key = self._teller.key(entry)
            if stands and one.hours:
                told.events.append(translate.time_approved(row, one, self._teller))
                told.link("time", key, entry)
            elif await self._was_told("time", key):
                told.events.append(translate.time_unapproved(row, one.day, self._teller))

    async def _expense(self, row: Row, told: Told) -> None:
        key = self._teller.key(row.id)
        if row.flag("pse__Approved__c") and not row.deleted:
            told.events.append(translate.expense_validated(row, self._teller))
            told.link("expense", key, row.id)
        elif await self._was_told("expense", key):
            told.events.append(translate.expense_withdrawn(row, self._teller))

    async def _milestone(self, row: Row, told: Told) -> None:
        key = translate.milestone_key(row, self._teller)
        if not row.deleted:
            told.link("milestone", key, row.id)
        if row.flag("pse__Approved__c") and not row.deleted:
            told.events.append(translate.milestone_achieved(row, self._teller))
            told.link(ACHIEVED, key, row.id)
        elif await self._was_told(ACHIEVED, key):
            told.events.append(translate.milestone_reopened(row, self._teller))

    async def _was_told(self, kind: str, key: str) -> bool:
        return await self._ctx.crosswalk.remote_id(kind, key) is not None
