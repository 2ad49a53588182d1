"""What sales did: accounts, won deals, signed and amended contracts, stream by stream."""

from collections.abc import Sequence
from typing import Any

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Link, Page, Refused, Source
from isthmus_salesforce import sweep, translate
from isthmus_salesforce.client import Batch, Client, check_budget, one_of, select
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.settings import STREAMS, SalesforceSettings
from isthmus_salesforce.translate import Teller

IDS_MAX = 300
_OBJECT_OF = dict(zip(STREAMS, ("Account", "Opportunity", "Contract"), strict=True))


class Sales(Source):
    """Each stream is one object, polled by its stamp."""

    streams = STREAMS

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._teller = Teller(ctx.instance, ctx.entity)

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        await self._check_budget()
        here = sweep.begun(sweep.read_cursor(cursor), self._ctx.now(), self._settings)
        item = _OBJECT_OF[stream]
        batch = await self._client.query(sweep.soql(item, stream, here, self._settings), deleted=True)
        rows = [Row(item, sweep.renamed(item, record, self._settings)) for record in batch.records]
        told = _Told(self._settings.api_version)
        match stream:
            case "accounts":
                self._accounts(rows, told)
            case "opportunities":
                await self._opportunities(rows, told)
            case "contracts":
                await self._contracts(rows, told)
        return self._page(here, batch, rows, told)

    def _page(self, here: sweep.Sweep, batch: Batch, rows: list[Row], told: "_Told") -> Page:
        # The server may give fewer rows than were asked for; either way there is more behind them.
        more = bool(rows) and (batch.next is not None or len(rows) >= self._settings.page_size)
        last = (rows[-1].stamp, rows[-1].id) if rows else None
        onward = sweep.after_page(here, last, more=more, served_at=batch.served_at)
        return Page(
            events=told.events,
            next=sweep.write_cursor(onward),
            more=more,
            refused=told.refused,
            links=list(dict.fromkeys(told.links)),
        )

    def _accounts(self, rows: list[Row], told: "_Told") -> None:
        for row in rows:
            told.link("customer", self._ctx.key(row.id), row.id)
            try:
                told.events.append(translate.customer_changed(row, self._teller))
            except Untranslatable as error:
                told.refuse(row, error)

    async def _opportunities(self, rows: list[Row], told: "_Told") -> None:
        open_ids = [row.id for row in rows if row.deleted or not row.flag("IsWon")]
        contracted = await self._contracted(open_ids)
        for row in rows:
            try:
                if row.id in contracted:
                    raise translate.reopened(row)
                if row.deleted or not row.flag("IsWon"):
                    continue
                told.events.append(translate.deal_won(row, self._teller))
                self._link_deal(row.id, row.text("AccountId"), told)
            except Untranslatable as error:
                told.refuse(row, error)

    async def _contracts(self, rows: list[Row], told: "_Told") -> None:
        lines = await self._lines([row.id for row in rows if row.text("StatusCode") == "Activated"])
        for row in rows:
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

    def _link_deal(self, opportunity: str, account: str | None, told: "_Told") -> None:
        """A project has its deal's key: it is delivered for the deal, and has no record of its own here."""
        told.link("deal", self._ctx.key(opportunity), opportunity)
        told.link("project", self._ctx.key(opportunity), opportunity)
        if account:
            told.link("customer", self._ctx.key(account), account)

    async def _contracted(self, opportunities: Sequence[str]) -> set[str]:
        """Which of these deals, none of them won, have an activated contract all the same."""
        named = self._settings.named
        field = named("Opportunity__c")
        active = f"{named('StatusCode')} = 'Activated'"
        found: set[str] = set()
        for ids in _portions(opportunities):
            query = select([field], named("Contract"), where=[active, one_of(field, ids)])
            found |= {str(record[field]) for record in await self._client.rows(query)}
        return found

    async def _lines(self, contracts: Sequence[str]) -> dict[str, list[Row]]:
        """The rows of each contract, in the order of their names."""
        item = "Contract_Line__c"
        named = self._settings.named
        parent = named("Contract__c")
        found: dict[str, list[Row]] = {}
        for ids in _portions(contracts):
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

    async def _check_budget(self) -> None:
        """Rest while the day's calls run out; the number is asked for anew before it holds back a pull."""
        if self._client.used_pct >= self._settings.poll_budget_pct:
            check_budget(await self._client.usage(), self._settings)


class _Told:
    """What a page has to say, while it is put together."""

    def __init__(self, api_version: str) -> None:
        self.events: list[BusinessEvent] = []
        self.refused: list[Refused] = []
        self.links: list[Link] = []
        self._version = api_version

    def link(self, kind: str, key: str, remote_id: str) -> None:
        self.links.append(Link(kind=kind, key=key, remote_id=remote_id))

    def refuse(self, row: Row, error: Untranslatable, lines: Sequence[Row] = ()) -> None:
        place = f"/services/data/{self._version}/sobjects/{row.item}/{row.id}"
        raw: dict[str, Any] = {**row.fields, "lines": [line.fields for line in lines]}
        self.refused.append(Refused(reason=str(error), place=place, raw=msgspec.json.encode(raw)))


def _portions(ids: Sequence[str]) -> list[Sequence[str]]:
    """``ids`` in parts whose query fits into a URL."""
    return [ids[start : start + IDS_MAX] for start in range(0, len(ids), IDS_MAX)]
