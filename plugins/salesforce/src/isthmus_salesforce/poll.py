"""What all sources of this plugin share: a stream is one object, polled by its stamp."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Link, Page, Refused, Retryable, Source
from isthmus_salesforce import sweep
from isthmus_salesforce.client import Batch, Client, check_budget
from isthmus_salesforce.fields import STREAMS, Stream
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.schema import Schema
from isthmus_salesforce.settings import SalesforceSettings


class Told:
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


class Polled(Source):
    """Reads the streams of one pack; a subclass says what their rows mean."""

    def __init__(self, client: Client, settings: SalesforceSettings, ctx: Context, schema: Schema) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._schema = schema
        self._streams = STREAMS[settings.pack]
        self.streams = tuple(self._streams)

    @abstractmethod
    async def tell(self, stream: str, rows: list[Row], told: Told) -> None:
        """Put what ``rows`` say into ``told``; a row without a meaning for us says nothing."""

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        read = self._streams[stream]
        await self._schema.ensure(read.item, *read.needs)
        begun = sweep.read_cursor(cursor)
        await self._check_budget(under_way=begun.until is not None)
        here = sweep.begun(begun, self._ctx.now(), self._settings)
        batch = await self._client.query(sweep.soql(stream, read, here, self._settings), deleted=True)
        rows = [self._row(read, record) for record in batch.records]
        try:
            places = [(row.stamp, row.id) for row in rows]
        except Untranslatable as error:
            raise Retryable(f"the answer is no query result: {error}") from error
        sweep.check_order(places, here)
        told = Told(self._settings.api_version)
        await self.tell(stream, rows, told)
        return self._page(here, batch, rows, told)

    def _row(self, stream: Stream, record: dict[str, Any]) -> Row:
        return Row(stream.item, sweep.renamed(stream.item, record, self._settings, stamp=stream.stamp))

    def _page(self, here: sweep.Sweep, batch: Batch, rows: list[Row], told: Told) -> Page:
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

    async def _check_budget(self, *, under_way: bool) -> None:
        """Rest while the day's calls run out; the number is asked for anew before it holds back a pull."""
        if self._client.used_pct >= self._settings.poll_budget_pct:
            check_budget(await self._client.usage(), self._settings, under_way=under_way)
