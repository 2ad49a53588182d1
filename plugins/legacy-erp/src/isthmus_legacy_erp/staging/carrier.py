"""Batches as rows: one transaction loads a batch and makes it READY; the ERP's job does the rest.

The batch id is the primary key and made of the batch's gap-free number, so loading it again, after whatever
happened to the first try, has one effect. What the job wrote is read back line by line and never changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from isthmus.sdk import Fatal, Retryable, Unsure
from isthmus_legacy_erp import batch as batches
from isthmus_legacy_erp.batch import Totals
from isthmus_legacy_erp.carrier import Carrier, Staged
from isthmus_legacy_erp.codec import Codec, Values
from isthmus_legacy_erp.look import Cursor, Look
from isthmus_legacy_erp.names import FileName
from isthmus_legacy_erp.outbox import FrozenBatch
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging.answers import Answers
from isthmus_legacy_erp.staging.database import Database, InDoubt
from isthmus_legacy_erp.staging.outlet import Outlet
from isthmus_legacy_erp.staging.tables import Row, row

REFS_AT_ONCE = 100


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen of a batch: everything its rows will say."""

    currency: str
    created: datetime
    rows: list[Row]


class SqlCarrier(Carrier):
    """Loads ``isth_batch`` and ``isth_line``; reads them, ``isth_out`` and ``isth_period``."""

    def __init__(self, database: Database, settings: LegacyErpSettings) -> None:
        assert settings.staging is not None, "the settings were checked"
        self._database = database
        self._tables = database.tables
        self._settings = settings
        self._answers = Answers(database, settings)
        self._outlet = Outlet(database, settings, settings.staging)

    def prepare(self) -> None:
        """One row of each table is read: the account may, and every column is there."""

        def work(connection: Connection) -> None:
            for table in self._tables.all():
                connection.execute(select(table).limit(1)).all()

        self._database.read("opening the staging tables", work)

    def high_water(self, interface: str) -> int:
        table = self._tables.batch
        query = select(func.max(table.c.seq)).where(self._of(interface))
        return self._database.read("opening", lambda connection: connection.scalar(query)) or 0

    def name(self, file: FileName) -> str:
        return file.batch_id

    def write(
        self, codec: Codec, header: Values, details: Sequence[tuple[str, Values]]
    ) -> tuple[bytes, Totals]:
        fitted = [
            {**codec.fitted(codec.detail(name), values), "line": line, "try_no": values.get("try_no", 1)}
            for line, (name, values) in enumerate(details, start=1)
        ]
        created = header["created"]
        assert isinstance(created, datetime), "the header of a batch has its time"
        loaded = Loaded(
            currency=str(header["currency"]), created=created, rows=[row(values) for values in fitted]
        )
        return msgspec.json.encode(loaded), batches.totals(fitted, codec.encoding)

    def place(self, batch: FrozenBatch, *, resend_refused: bool) -> None:
        """Load the batch, unless it is there. A batch in ERROR stays as it is: its lines go into a new one.

        Raises:
            Unsure: the commit was not answered, and it could not be looked up; call again.
            Fatal: another batch has this id, or another sender staged one of its lines.
        """
        if batch.skipped or self._there(batch):
            return
        try:
            self._load(batch)
        except InDoubt as doubt:
            # A new connection tells. If that commit is still under way, the key makes the next one wait.
            try:
                if not self._there(batch):
                    self._load(batch)
            except InDoubt:
                raise
            except Retryable as error:
                raise Unsure(f"{doubt}; looking it up: {error}", peer_words=doubt.peer_words) from error

    def _load(self, batch: FrozenBatch) -> None:
        loaded = msgspec.json.decode(batch.data(), type=Loaded)
        about = {
            "batch_id": batch.file.batch_id,
            "iface": batch.file.interface,
            "company": batch.file.company,
        }
        head = {
            **about,
            "seq": batch.file.seq,
            "sha256": batch.sha256,
            "currency": loaded.currency,
            "rec_count": batch.totals.count,
            "tot_hours": batch.totals.quantity,
            "tot_amount": batch.totals.amount,
            "hash_total": batch.totals.hash_total,
            "status": "LOADING",
            "created_at": loaded.created,
        }
        lines = [{**about, **msgspec.structs.asdict(line), "status": "NEW"} for line in loaded.rows]
        table = self._tables.batch

        def work(connection: Connection) -> None:
            connection.execute(insert(table), head)
            connection.execute(insert(self._tables.line), lines)
            connection.execute(
                update(table).where(table.c.batch_id == batch.file.batch_id).values(status="READY")
            )

        try:
            self._database.write(f"loading {batch.file.batch_id}", work)
        except InDoubt:
            raise
        except Retryable:
            # Another try of ours may have been faster: then there is nothing left to do.
            if not self._there(batch):
                self._same_lines_elsewhere(batch, loaded)
                raise

    def _there(self, batch: FrozenBatch) -> bool:
        """Whether this very batch was loaded.

        Raises:
            Fatal: something else has its id.
        """
        table, batch_id = self._tables.batch, batch.file.batch_id
        query = select(table.c.sha256, table.c.status).where(table.c.batch_id == batch_id)
        found = self._database.read(f"looking up {batch_id}", lambda c: c.execute(query).one_or_none())
        if found is None:
            return False
        if found.sha256 != batch.sha256:
            raise Fatal(
                f"isth_batch has another batch {batch_id}: two daemons, or tables of another company; "
                "find out who wrote it, and give each sender a company code of its own"
            )
        if found.status == "LOADING":
            raise Retryable(
                f"{batch_id} is LOADING for others to see; isthmus commits READY only: ask the DBA"
            )
        return True

    def _same_lines_elsewhere(self, batch: FrozenBatch, loaded: Loaded) -> None:
        """See whether a line cannot be loaded because it was staged in another batch.

        Raises:
            Fatal: it was.
        """
        wanted = {(line.ext_ref, line.revision, line.try_no) for line in loaded.rows}
        for found in self._lines(batch.file.interface, [ref for ref, _, _ in wanted]):
            if (found.ext_ref, found.revision, found.try_no) in wanted:
                raise Fatal(
                    f"{found.ext_ref} of {batch.file.batch_id} stands in {found.batch_id} already: "
                    "two daemons on the same tables; stop one"
                )

    def staged(self, interface: str, refs: Mapping[str, int]) -> dict[str, Staged]:
        lines = self._lines(interface, list(refs))
        return {line.ext_ref: _staged(line) for line in lines if line.revision == refs[line.ext_ref]}

    def _lines(self, interface: str, refs: Sequence[str]) -> Iterator[Any]:
        """The lines of some references, with the state of their batches; the newest of a reference last."""
        line, head = self._tables.line, self._tables.batch
        for at in range(0, len(refs), REFS_AT_ONCE):
            query = (
                select(line, head.c.status.label("batch_status"))
                .join_from(line, head, line.c.batch_id == head.c.batch_id)
                .where(
                    line.c.iface == interface,
                    line.c.company == self._settings.company,
                    line.c.ext_ref.in_(refs[at : at + REFS_AT_ONCE]),
                )
                .order_by(line.c.try_no)
            )
            yield from self._database.rows("looking up lines", query)

    def refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        return self._answers.refused_lines(batch)

    def look(self, interfaces: Sequence[str], cursor: Cursor, now: datetime) -> Look:
        if interfaces == ("receivables",):
            return self._outlet.receivables(cursor, now)
        if interfaces == ("periods",):
            return self._outlet.periods(cursor)
        return self._answers.look(interfaces, cursor, now)

    def _of(self, interface: str) -> ColumnElement[bool]:
        table = self._tables.batch
        return and_(table.c.iface == interface, table.c.company == self._settings.company)


def _staged(line: Any) -> Staged:
    return Staged(
        batch_id=line.batch_id,
        line=line.line_no,
        try_no=line.try_no,
        status="REJECTED" if line.status == "NEW" and line.batch_status == "ERROR" else line.status,
        amount=line.amount if line.posted_amount is None else line.posted_amount,
        erp_no=line.erp_doc_no,
        posted_on=line.posted_on,
        answered_at=line.processed_at,
    )
