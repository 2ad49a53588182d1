"""Facts to the ERP: frozen, numbered batches. The same for files and tables."""

from collections.abc import Mapping, Sequence

import msgspec
import trio

from isthmus.events import BusinessEvent, ChargeDetermined, CustomerChanged, ProjectCreated
from isthmus.sdk import (
    ConnectorError,
    Context,
    Delivery,
    DeliveryClass,
    Fatal,
    Frozen,
    Receipt,
    Rejected,
    Sink,
    Unmet,
)
from isthmus_legacy_erp import batch, names, outbox, translate
from isthmus_legacy_erp.carrier import Carrier, revision_of
from isthmus_legacy_erp.codec import Codec, Value, ValueRefused
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch, Line
from isthmus_legacy_erp.settings import LegacyErpSettings

OUTBOUND = {
    "customer.changed": "customers",
    "project.created": "projects",
    "charge.determined": "charges",
}
"""Interface by kind, in the order in which the ERP needs them."""
RECORD = {"customers": "customer", "projects": "project", "charges": "charge"}
WRITE_S = 60.0
SKIPS_MAX = 100_000


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that is ready to be frozen: its place in the call, its line."""

    at: int
    event: BusinessEvent
    line: Line
    values: dict[str, Value]


class BatchSink(Sink):
    """Writes what it is given into numbered batches; the receipt names the batch and the line.

    Class A: a batch never changes once it is frozen, and the ERP guards by number, batch and reference. A
    delivery that was frozen is never frozen again, unless the ERP refused exactly its line: then a replay
    gets a line in a new batch.
    """

    accepts = frozenset(OUTBOUND)
    batch_max = 200
    concurrency = 1

    def __init__(
        self, ctx: Context, settings: LegacyErpSettings, codecs: Mapping[str, Codec], carrier: Carrier
    ) -> None:
        self._ctx = ctx
        self._settings = settings
        self._codecs = codecs
        self._carrier = carrier
        self._stamp = translate.Stamp(instance=ctx.instance, entity=ctx.entity)
        self._lock = trio.Lock()
        self._recovered = False

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        (outcome,) = await self.deliver_many([delivery])
        if isinstance(outcome, ConnectorError):
            raise outcome
        return outcome

    async def deliver_many(self, deliveries: Sequence[Delivery]) -> list[Receipt | ConnectorError]:
        await self.recover()
        async with self._lock:
            outcomes: dict[int, Receipt | ConnectorError] = {}
            again: dict[str, tuple[FrozenBatch, dict[int, str]]] = {}
            fresh: dict[str, list[_Entry]] = {interface: [] for interface in OUTBOUND.values()}
            for at, (key, standing) in enumerate(await self._standing(deliveries)):
                if standing is not None:
                    again.setdefault(str(standing.file), (standing, {}))[1][at] = key
                    continue
                event = deliveries[at].event
                try:
                    fresh[OUTBOUND[event.kind]].append(await self._entry(at, event, key))
                except ConnectorError as error:
                    outcomes[at] = error
            for standing, keys in again.values():
                outcomes.update(await self._placed(standing, keys))
            for interface, asked in fresh.items():
                if asked and (entries := await self._unstaged(interface, asked, outcomes)):
                    frozen = await self._freeze(interface, entries)
                    outcomes.update(await self._placed(frozen, {e.at: e.line.delivery for e in entries}))
        return [outcomes[at] for at in range(len(deliveries))]

    async def recover(self) -> None:
        """Once per opening: finish what a dead process left.

        Raises:
            Retryable, Fatal: the ERP's side cannot be worked with.
        """
        async with self._lock:
            if self._recovered:
                return
            await self._ctx.run_blocking(self._carrier.prepare, deadline_s=WRITE_S)
            unfinished = await self._ctx.run_blocking(self._carrier.unfinished, deadline_s=WRITE_S)
            for interface in RECORD:
                await self._catch_up(interface)
            for frozen in await self._interrupted(unfinished):
                await self._place(frozen, resend_refused=False)
            await self._ctx.run_blocking(self._carrier.discard, deadline_s=WRITE_S)
            self._recovered = True

    async def batch(self, interface: str, seq: int) -> FrozenBatch | None:
        """Our batch of that number, to read its response against."""
        found = await self._ctx.sequences.batch(self._sequence(interface), seq)
        return outbox.thaw(found.payload) if found is not None else None

    async def _catch_up(self, interface: str) -> None:
        """Skip the numbers the ERP has seen and the store does not know: an older backup was restored.

        The facts of those batches are delivered again, under new numbers; the ERP knows them by reference.
        """
        last = await self._ctx.sequences.last(self._sequence(interface))
        number = last.seq if last is not None else 0
        seen = await self._ctx.run_blocking(self._carrier.high_water, interface, deadline_s=WRITE_S)
        highest = max(seen, self._settings.first(interface) - 1)
        if number >= highest:
            return
        if highest - number > SKIPS_MAX:
            raise Fatal(
                f"{interface}: the next number would be {number + 1}, the ERP's side shows {highest}; "
                "agree on a company code with numbers of its own, or clear what shows the high number"
            )
        self._ctx.log.warning(
            "numbers_skipped",
            extra={
                "connector": self._ctx.instance,
                "reason": f"{interface}: the ERP's side shows {highest}, the store {number}",
            },
        )
        created = names.stamp(self._ctx.now())

        def nothing(seq: int) -> bytes:
            file = FileName(interface=interface, company=self._settings.company, seq=seq, created=created)
            return outbox.freeze(file, "utf-8", b"", batch.totals((), "utf-8"), [])

        for _ in range(highest - number):
            await self._ctx.sequences.freeze(self._sequence(interface), (), nothing)

    async def _interrupted(self, files: Sequence[FileName]) -> list[FrozenBatch]:
        """The batches ``files``, and the newest of each interface, of which nothing may have left yet."""
        found: dict[str, FrozenBatch] = {}
        for file in files:
            if file.interface in RECORD:
                frozen = await self.batch(file.interface, file.seq)
                if frozen is not None and frozen.file == file:
                    found[str(file)] = frozen
        for interface in RECORD:
            last = await self._ctx.sequences.last(self._sequence(interface))
            if last is not None:
                frozen = outbox.thaw(last.payload)
                found[str(frozen.file)] = frozen
        return [found[name] for name in sorted(found)]

    async def _standing(self, deliveries: Sequence[Delivery]) -> list[tuple[str, FrozenBatch | None]]:
        """Of each delivery its freeze key, and the batch it stands in if it was frozen.

        The key is the delivery's own; when the ERP refused that line, the next try has ``~2`` and so on.
        """
        found = await self._ctx.sequences.frozen([delivery.key for delivery in deliveries])
        refused: dict[str, frozenset[int]] = {}
        thawed: dict[tuple[str, int], FrozenBatch] = {}
        standing: list[tuple[str, FrozenBatch | None]] = []
        for delivery in deliveries:
            key, frozen, attempt = delivery.key, found.get(delivery.key), 1
            batch = None
            while frozen is not None:
                number = (frozen.sequence, frozen.seq)
                if number not in thawed:
                    thawed[number] = outbox.thaw(frozen.payload)
                batch = thawed[number]
                name = str(batch.file)
                if name not in refused:
                    refused[name] = await self._refused_lines(batch)
                if batch.line_of(key) not in refused[name]:
                    break
                attempt += 1
                key, batch = f"{delivery.key}~{attempt}", None
                frozen = (await self._ctx.sequences.frozen([key])).get(key)
            standing.append((key, batch))
        return standing

    async def _refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        return await self._ctx.run_blocking(self._carrier.refused_lines, batch)

    async def _unstaged(
        self, interface: str, entries: Sequence[_Entry], outcomes: dict[int, Receipt | ConnectorError]
    ) -> list[_Entry]:
        """The entries the ERP has no line of, or refused; the others get their outcome from that line.

        Only an older backup of the store, or the same fact told twice, makes this find anything.
        """
        refs = {entry.line.ref: revision_of(entry.values) for entry in entries}
        known = await self._ctx.run_blocking(self._carrier.staged, interface, refs, deadline_s=WRITE_S)
        rest: list[_Entry] = []
        for entry in entries:
            staged = known.get(entry.line.ref)
            if staged is None:
                rest.append(entry)
            elif staged.status == "REJECTED":
                values = {**entry.values, "try_no": staged.try_no + 1}
                rest.append(msgspec.structs.replace(entry, values=values))
            else:
                outcomes[entry.at] = translate.adopted(entry.event, entry.line, staged, self._stamp)
        return rest

    async def _entry(self, at: int, event: BusinessEvent, key: str) -> _Entry:
        """The line for one fact.

        Raises:
            Unmet: the customer or project has no number of the ERP yet.
            Rejected: a value does not fit the ERP's layout.
        """
        interface = OUTBOUND[event.kind]
        codec = self._codecs[interface]
        record = codec.detail(RECORD[interface])
        width = codec.width(next(field for field in record.fields if field.name == "ref"))
        match event:
            case CustomerChanged():
                values = translate.customer(event, width)
            case ProjectCreated():
                values = translate.project(event, await self._number("customer", event.customer), width)
            case ChargeDetermined():
                values = translate.charge(
                    event,
                    await self._number("project", event.project),
                    self._settings.currency,
                    record,
                    width,
                )
            case _:
                raise Rejected(f"{event.kind} has no interface in this ERP", reason="mapping")
        try:
            codec.encode(record, {**values, "line": 1})
        except ValueRefused as error:
            raise Rejected(f"{event.key} does not fit the layout: {error}", reason="value") from error
        return _Entry(at=at, event=event, line=translate.frozen_line(event, key, values), values=values)

    async def _number(self, kind: str, key: str) -> str:
        number = await self._ctx.crosswalk.remote_id(kind, key)
        if number is None:
            raise Unmet(f"{kind} {key} has no number of the ERP yet; it comes with the response to its batch")
        return number

    async def _freeze(self, interface: str, entries: Sequence[_Entry]) -> FrozenBatch:
        created = self._ctx.now().replace(microsecond=0)
        codec, settings = self._codecs[interface], self._settings
        details = [(RECORD[interface], entry.values) for entry in entries]

        def payload(seq: int) -> bytes:
            file = FileName(
                interface=interface, company=settings.company, seq=seq, created=names.stamp(created)
            )
            header: dict[str, Value] = {
                "interface": interface,
                "company": settings.company,
                "seq": seq,
                "batch_id": file.batch_id,
                "created": created,
                "currency": settings.currency,
            }
            data, totals = self._carrier.write(codec, header, details)
            return outbox.freeze(file, codec.text.encoding, data, totals, [entry.line for entry in entries])

        keys = [entry.line.delivery for entry in entries]
        frozen: Frozen = await self._ctx.sequences.freeze(self._sequence(interface), keys, payload)
        return outbox.thaw(frozen.payload)

    async def _placed(
        self, frozen: FrozenBatch, keys: Mapping[int, str]
    ) -> dict[int, Receipt | ConnectorError]:
        """Put a batch in its place; one outcome for each delivery inside that was asked for."""
        try:
            await self._place(frozen, resend_refused=True)
        except ConnectorError as error:
            return dict.fromkeys(keys, error)
        name = self._carrier.name(frozen.file)
        return {
            at: Receipt(remote_id=f"{name}#{frozen.line_of(key)}", detail="SENT") for at, key in keys.items()
        }

    async def _place(self, frozen: FrozenBatch, *, resend_refused: bool) -> None:
        def work() -> None:
            self._carrier.place(frozen, resend_refused=resend_refused)

        await self._ctx.run_blocking(work, deadline_s=WRITE_S)

    def _sequence(self, interface: str) -> str:
        return f"{interface}_{self._settings.company}"
