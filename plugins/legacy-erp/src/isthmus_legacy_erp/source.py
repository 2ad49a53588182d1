"""Facts from the ERP: responses to our batches, receivables, periods. The same for files and tables."""

import msgspec

from isthmus.sdk import Context, Fatal, Page, Refused, Retryable, Source
from isthmus_legacy_erp import translate
from isthmus_legacy_erp.carrier import Carrier
from isthmus_legacy_erp.codec import Codec, Row
from isthmus_legacy_erp.look import Arrived, Cursor
from isthmus_legacy_erp.names import RESPONSE
from isthmus_legacy_erp.sink import RECORD, BatchSink
from isthmus_legacy_erp.translate import Stamp, Told

INBOUND = {
    "responses": tuple(interface + RESPONSE for interface in RECORD),
    "receivables": ("receivables",),
    "periods": ("periods",),
}
"""The ERP's interfaces by stream; each has numbers of its own."""
READ_S = 120.0


class BatchSource(Source):
    """Reads what the ERP numbered. A missing number stops its stream; nothing later is read before it."""

    streams = tuple(INBOUND)

    def __init__(self, ctx: Context, carrier: Carrier, sink: BatchSink, receivables: Codec) -> None:
        self._ctx = ctx
        self._carrier = carrier
        self._sink = sink
        self._stamp = Stamp(instance=ctx.instance, entity=ctx.entity)
        record = receivables.detail("invoice_charge")
        self._ref_width = sum(receivables.width(f) for f in record.fields if f.name == "charge_ref")

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        await self._sink.recover()
        try:
            at = msgspec.json.decode(cursor, type=Cursor) if cursor is not None else Cursor()
        except msgspec.DecodeError as error:
            raise Fatal(f"the cursor of {stream} is not one of this connector: {error}") from error
        look = await self._ctx.run_blocking(
            self._carrier.look, INBOUND[stream], at, self._ctx.now(), deadline_s=READ_S
        )
        for name in look.conflicts:
            self._ctx.log.error(
                "inbound_conflict",
                extra={
                    "connector": self._ctx.instance,
                    "reason": f"{name}: other bytes under a known number",
                },
            )
        if look.gap is not None and not look.arrived and not look.refused and look.moves == at.moves:
            raise Retryable(look.gap)
        told = [await self._tell(arrived) for arrived in look.arrived]
        return Page(
            events=[event for part in told for event in part.events],
            links=[link for part in told for link in part.links],
            refused=[*look.refused, *(entry for part in told for entry in part.refused)],
            next=msgspec.json.encode(look.cursor()),
            more=look.more,
        )

    async def _tell(self, arrived: Arrived) -> Told:
        if arrived.file.interface.endswith(RESPONSE):
            return await self._response(arrived)
        told = Told()
        charges: dict[str, list[str]] = {}
        for row in arrived.batch.rows:
            if row.name == "invoice_charge":
                charges.setdefault(str(row.values["invoice"]), []).append(await self._charge(row))
        for row in arrived.batch.rows:
            try:
                await self._row(told, arrived, row, charges)
            except ValueError as error:
                told.refused.append(translate.refuse(arrived, row, error))
        return told

    async def _response(self, arrived: Arrived) -> Told:
        """The response to our batch of the same number."""
        interface = arrived.file.interface.removesuffix(RESPONSE)
        sent = await self._sink.batch(interface, arrived.file.seq)
        if sent is None:
            reason = f"{arrived.place} answers a batch that was never sent; ask the ERP where it comes from"
            return Told(refused=[Refused(reason=reason, place=arrived.place, raw=reason.encode())])
        return translate.response(arrived, sent, self._stamp)

    async def _row(self, told: Told, arrived: Arrived, row: Row, charges: dict[str, list[str]]) -> None:
        match row.name:
            case "invoice":
                customer = await self._key("customer", row.values["customer_no"])
                assert customer is not None, "the field is not optional"
                project = await self._key("project", row.values["project_no"])
                lines = charges.get(str(row.values["ref"]), [])
                told.events.append(translate.invoice(arrived, row, customer, project, lines, self._stamp))
            case "payment":
                project = await self._key("project", row.values["project_no"])
                told.events.append(translate.payment(arrived, row, project, self._stamp))
            case "void":
                project = await self._key("project", row.values["project_no"])
                told.events.append(translate.void(arrived, row, project, self._stamp))
            case "closed" | "reopened":
                told.events.append(translate.period(arrived, row, self._stamp))

    async def _key(self, kind: str, number: object) -> str | None:
        """Our key of a record of the ERP; one that isthmus never sent is mastered by the ERP."""
        if number is None:
            return None
        return await self._ctx.crosswalk.key_of(kind, str(number)) or self._stamp.key(number)

    async def _charge(self, row: Row) -> str:
        """The charge an invoice line bills.

        Raises:
            Retryable: its reference is a shortened key, and the response that names it was not read yet.
        """
        number, ref = str(row.values["ref"]), row.values["charge_ref"]
        if ref is not None and translate.whole(str(ref), self._ref_width):
            return str(ref)
        key = await self._ctx.crosswalk.key_of("charge", number)
        if key is None and ref is not None:
            raise Retryable(f"charge {number} was posted, but its response was not read yet")
        return key or self._stamp.key(number)
