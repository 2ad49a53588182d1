"""Charges a hundred at a time: one queued request per record type, and a fate for each of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from isthmus.events import ChargeDetermined
from isthmus.sdk import ConnectorError, Delivery, Receipt
from isthmus_netsuite import translate
from isthmus_netsuite.client import RECORDS, Client
from isthmus_netsuite.directory import quoted
from isthmus_netsuite.jobs import COLLECTION, Jobs, idempotency_key
from isthmus_netsuite.records import Records, RecordType

COLUMNS: dict[RecordType, str] = {
    "timeBill": "id, externalid, custcol_isth_charge, custcol_isth_amount, hours",
    "charge": "id, externalid, custcol_isth_charge, custcol_isth_amount, amount",
}
"""What `translate.difference` compares, by the types that come in numbers; others are written alone."""

Outcome = Receipt | ConnectorError
Record = dict[str, Any]


class Batches:
    """Writes the charges of many deliveries together.

    NetSuite runs the records of a batch in parallel and lists their results in no particular order, so no
    result is matched by its place. All are looked up by external id before and after; what is not there
    then is written alone and says itself why.
    """

    def __init__(
        self,
        client: Client,
        jobs: Jobs,
        records: Records,
        *,
        prepare: Callable[[ChargeDetermined], Awaitable[Record]],
        settle: Callable[[ChargeDetermined, RecordType, Record], Receipt],
        alone: Callable[[Delivery], Awaitable[Receipt]],
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._records = records
        self._prepare = prepare
        self._settle = settle
        self._alone = alone

    async def deliver(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """One outcome per delivery, in the same order."""
        outcomes: dict[int, Outcome] = {}
        groups: dict[RecordType, dict[int, Delivery]] = {}
        others: dict[int, Delivery] = {}
        for n, delivery in enumerate(deliveries):
            type = (
                translate.record_type(delivery.event)
                if isinstance(delivery.event, ChargeDetermined)
                else None
            )
            if type in ("timeBill", "charge"):
                groups.setdefault(type, {})[n] = delivery
            else:
                others[n] = delivery
        for kind, group in groups.items():
            outcomes.update(await self._together(kind, group))
        left = {
            n: delivery for group in groups.values() for n, delivery in group.items() if n not in outcomes
        }
        outcomes.update(await self._one_by_one({**others, **left}))
        return [outcomes[n] for n in range(len(deliveries))]

    async def _together(self, type: RecordType, group: dict[int, Delivery]) -> dict[int, Outcome]:
        """Write what can be written in one request; what this leaves out is to be written alone."""
        outcomes: dict[int, Outcome] = {}
        try:
            events = {n: _charge(delivery) for n, delivery in group.items()}
            self._take(type, events, await self._held(type, events), outcomes)
            items: dict[int, Record] = {}
            for n in events.keys() - outcomes.keys():
                try:
                    body = await self._prepare(events[n])
                except ConnectorError as error:
                    outcomes[n] = error
                else:
                    items[n] = {**self._records.marked(type, events[n].charge), **body}
            if len(items) < 2:
                return outcomes
            job = await self._jobs.submit(
                "PUT",
                f"{RECORDS}/{type}",
                {"items": [items[n] for n in sorted(items)]},
                key=idempotency_key("\n".join(group[n].key for n in sorted(items))),
                headers=COLLECTION,
            )
            await self._jobs.wait(job)
            written = {n: events[n] for n in items}
            self._take(type, written, await self._held(type, written), outcomes)
        except ConnectorError as error:
            return {n: outcomes.get(n, error) for n in group}
        return outcomes

    def _take(
        self,
        type: RecordType,
        events: dict[int, ChargeDetermined],
        held: dict[str, Record],
        outcomes: dict[int, Outcome],
    ) -> None:
        """Settle the charges that are there."""
        for n, event in events.items():
            record = held.get(self._records.name(event.charge))
            if record is None:
                continue
            try:
                outcomes[n] = self._settle(event, type, record)
            except ConnectorError as error:
                outcomes[n] = error

    async def _held(self, type: RecordType, events: dict[int, ChargeDetermined]) -> dict[str, Record]:
        """The records that are there, by external id."""
        names = ", ".join(quoted(self._records.name(event.charge)) for event in events.values())
        return {
            row["externalid"]: {**row, "externalId": row["externalid"]}
            async for row in self._client.walk(
                COLUMNS[type], type.lower(), where=f"externalid IN ({names})", keys={"id": "id"}
            )
        }

    async def _one_by_one(self, deliveries: dict[int, Delivery]) -> dict[int, Outcome]:
        """Each by itself; of different subjects, so at the same time, as far as the budget lets them."""
        outcomes: dict[int, Outcome] = {}

        async def one(n: int, delivery: Delivery) -> None:
            try:
                outcomes[n] = await self._alone(delivery)
            except ConnectorError as error:
                outcomes[n] = error

        async with trio.open_nursery() as nursery:
            for n, delivery in deliveries.items():
                nursery.start_soon(one, n, delivery)
        return outcomes


def _charge(delivery: Delivery) -> ChargeDetermined:
    assert isinstance(delivery.event, ChargeDetermined)
    return delivery.event
