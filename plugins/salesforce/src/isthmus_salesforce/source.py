"""What sales did: accounts, won deals, signed and amended contracts, stream by stream."""

from collections.abc import Sequence

from isthmus.sdk import Context
from isthmus_salesforce import sweep, translate
from isthmus_salesforce.client import Client, one_of, portions, select
from isthmus_salesforce.poll import Polled, Told
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.translate import ENDED, Teller


class Sales(Polled):
    """The CRM's streams."""

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context, schema: Schema) -> None:
        super().__init__(client, settings, ctx, schema)
        self._teller = Teller(ctx.instance, ctx.entity)

    async def tell(self, stream: str, rows: list[Row], told: Told) -> None:
        match stream:
            case "accounts":
                self._accounts(rows, told)
            case "opportunities":
                await self._opportunities(rows, told)
            case "contracts":
                await self._contracts(rows, told)

    def _accounts(self, rows: list[Row], told: Told) -> None:
        for row in rows:
            told.link("customer", self._ctx.key(row.id), row.id)
            try:
                told.events.append(translate.customer_changed(row, self._teller))
            except Untranslatable as error:
                told.refuse(row, error)

    async def _opportunities(self, rows: list[Row], told: Told) -> None:
        lost = [row.id for row in rows if row.deleted or not row.flag("IsWon")]
        contracts = await self._contract_states(lost)
        for row in rows:
            try:
                if row.deleted or not row.flag("IsWon"):
                    await self._check_reopened(row, contracts.get(row.id, set()))
                    continue
                told.events.append(translate.deal_won(row, self._teller))
                self._link_deal(row.id, row.text("AccountId"), told)
            except Untranslatable as error:
                told.refuse(row, error)

    async def _check_reopened(self, row: Row, contracts: set[str]) -> None:
        """
        Raises:
            Untranslatable: others still rely on a deal that is not won any more; there is no event for it.
        """
        if "Activated" in contracts:
            raise translate.reopened(row, "while its contract is activated; win it, or end the contract")
        known = await self._ctx.crosswalk.remote_id("deal", self._ctx.key(row.id))
        if known is not None and not contracts & ENDED:
            raise translate.reopened(row, "after it was told as won; win it again, or undo what was set up")

    async def _contracts(self, rows: list[Row], told: Told) -> None:
        active = [row for row in rows if row.text("StatusCode") == "Activated"]
        lines = await self._lines([row.id for row in active])
        changed = await self._changed(active)
        for row in rows:
            if row.id in changed:
                continue  # amended between the two reads: the next sweep reads it with its own lines
            own = lines.get(row.id, [])
            try:
                fact = translate.contract_fact(row, own, self._teller)
            except Untranslatable as error:
                told.refuse(row, error, own)
                continue
            if fact is None:
                continue
            told.events.append(fact)
            told.link("contract", self._ctx.key(row.id), row.id)
            if opportunity := row.text("Opportunity__c"):
                self._link_deal(opportunity, row.text("AccountId"), told)
            for line in own:
                if line.text("Model__c") == "milestone":
                    told.link("milestone", self._ctx.key(line.id), line.id)

    def _link_deal(self, opportunity: str, account: str | None, told: Told) -> None:
        """A project has its deal's key: it is delivered for the deal, and has no record of its own here."""
        told.link("deal", self._ctx.key(opportunity), opportunity)
        told.link("project", self._ctx.key(opportunity), opportunity)
        if account:
            told.link("customer", self._ctx.key(account), account)

    async def _contract_states(self, opportunities: Sequence[str]) -> dict[str, set[str]]:
        """The states of the contracts that came from these deals."""
        named = self._settings.named
        deal, state = named("Opportunity__c"), named("StatusCode")
        found: dict[str, set[str]] = {}
        for ids in portions(opportunities):
            query = select([deal, state], named("Contract"), where=[one_of(deal, ids)])
            for record in await self._client.rows(query):
                found.setdefault(str(record[deal]), set()).add(str(record[state]))
        return found

    async def _changed(self, contracts: Sequence[Row]) -> set[str]:
        """Which of these are not as they were read: their lines may be those of another revision."""
        named = self._settings.named
        revision = named("Revision__c")
        read = {row.id: (row.fields["SystemModstamp"], row.fields.get("Revision__c")) for row in contracts}
        now: dict[str, tuple[object, object]] = {}
        for ids in portions(list(read)):
            query = select(["Id", "SystemModstamp", revision], named("Contract"), where=[one_of("Id", ids)])
            for record in await self._client.rows(query):
                now[str(record["Id"])] = record["SystemModstamp"], record.get(revision)
        return {id for id, stood in read.items() if now.get(id) != stood}

    async def _lines(self, contracts: Sequence[str]) -> dict[str, list[Row]]:
        """The rows of each contract, in the order of their names."""
        item = "Contract_Line__c"
        named = self._settings.named
        parent = named("Contract__c")
        found: dict[str, list[Row]] = {}
        for ids in portions(contracts):
            query = select(
                sweep.columns(item, self._settings),
                named(item),
                where=[one_of(parent, ids)],
                order=(parent, "Name", "Id"),
            )
            for record in await self._client.rows(query):
                row = Row(item, sweep.renamed(item, record, self._settings))
                found.setdefault(str(row.fields["Contract__c"]), []).append(row)
        return found
