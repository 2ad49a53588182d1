"""Batches as rows: one transaction loads a batch and makes it READY; the ERP's job does the rest.

The batch id is the primary key and made of the batch's gap-free number, so loading it again, after whatever
happened to the first try, has one effect. What the job wrote is read back line by line and never changed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from isthmus.sdk import Fatal, Retryable, Unsure
from isthmus_legacy_erp import batch as batches
from isthmus_legacy_erp.batch import Batch, Totals
from isthmus_legacy_erp.carrier import Carrier, Staged
from isthmus_legacy_erp.codec import Codec, Values
from isthmus_legacy_erp.codec import Row as Record
from isthmus_legacy_erp.look import Arrived, Cursor, Look, Move
from isthmus_legacy_erp.names import RESPONSE, FileName, digest
from isthmus_legacy_erp.outbox import FrozenBatch
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging import outlet
from isthmus_legacy_erp.staging.database import Database, InDoubt
from isthmus_legacy_erp.staging.tables import Row, row

DONE = ("POSTED", "ERROR")
REFS_AT_ONCE = 100

Answered = tuple[Any, list[Any]]
"""A batch and its lines, as rows."""


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
        self._outlet = outlet.Outlet(database, settings, settings.staging)

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
        for at in range(0, len(loaded.rows), REFS_AT_ONCE):
            wanted = {
                (line.ext_ref, line.revision, line.try_no) for line in loaded.rows[at : at + REFS_AT_ONCE]
            }
            table = self._tables.line
            query = select(table.c.batch_id, table.c.ext_ref, table.c.revision, table.c.try_no).where(
                table.c.iface == batch.file.interface,
                table.c.company == batch.file.company,
                table.c.ext_ref.in_([ref for ref, _, _ in wanted]),
            )
            for found in self._database.read("looking up lines", lambda c, q=query: c.execute(q).all()):  # type: ignore[misc]
                if (found.ext_ref, found.revision, found.try_no) in wanted:
                    raise Fatal(
                        f"{found.ext_ref} of {batch.file.batch_id} stands in {found.batch_id} already: "
                        "two daemons on the same tables; stop one"
                    )

    def staged(self, interface: str, refs: Mapping[str, int]) -> dict[str, Staged]:
        table, head, found = self._tables.line, self._tables.batch, dict[str, Staged]()
        wanted = list(refs)
        for at in range(0, len(wanted), REFS_AT_ONCE):
            query = (
                select(table, head.c.status.label("batch_status"))
                .join_from(table, head, table.c.batch_id == head.c.batch_id)
                .where(
                    table.c.iface == interface,
                    table.c.company == self._settings.company,
                    table.c.ext_ref.in_(wanted[at : at + REFS_AT_ONCE]),
                )
                .order_by(table.c.try_no)
            )
            for line in self._database.read("looking up lines", lambda c, q=query: c.execute(q).all()):  # type: ignore[misc]
                if line.revision == refs[line.ext_ref]:
                    found[line.ext_ref] = _staged(line)
        return found

    def refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        head, lines = self._tables.batch, self._tables.line
        query = (
            select(head.c.status.label("batch_status"), lines.c.line_no, lines.c.status)
            .join_from(head, lines, head.c.batch_id == lines.c.batch_id)
            .where(head.c.batch_id == batch.file.batch_id, head.c.answer_read_at.is_not(None))
        )
        found = self._database.read("reading answers", lambda connection: connection.execute(query).all())
        return frozenset(
            line.line_no
            for line in found
            if line.status == "REJECTED" or (line.batch_status == "ERROR" and line.status == "NEW")
        )

    def look(self, interfaces: Sequence[str], cursor: Cursor, now: datetime) -> Look:
        if interfaces == ("receivables",):
            return self._outlet.receivables(cursor, now)
        if interfaces == ("periods",):
            return self._outlet.periods(cursor)
        look = Look(last=dict(cursor.last), top=cursor.top, gaps=list(cursor.gaps))
        numbers = {name: look.last.get(name, self._settings.first(_sent(name)) - 1) for name in interfaces}

        def work(connection: Connection) -> tuple[bool, dict[str, list[Answered]]]:
            noted = [self._unnoted(_sent(name), number) for name, number in numbers.items()]
            table = self._tables.batch
            unnoted = connection.scalar(select(func.count()).select_from(table).where(or_(*noted)))
            found = {
                name: self._answered(connection, _sent(name), number) for name, number in numbers.items()
            }
            return bool(unnoted), found

        unnoted, found = self._database.read("reading answers", work)
        if unnoted:
            self._note_read(numbers, now)
        for interface in interfaces:
            self._answers(interface, numbers[interface], found[interface], cursor, look)
        return look

    def _answers(
        self, interface: str, number: int, found: list[Answered], cursor: Cursor, look: Look
    ) -> None:
        """The batches the job is done with, in order of their numbers, up to the first it is not."""
        for head, lines in found:
            if head.seq != number + 1 or head.status not in DONE:
                if any(later.status in DONE for later, _ in found if later.seq > number + 1):
                    there = (
                        f"{head.batch_id} is {head.status}" if head.seq == number + 1 else "it is not there"
                    )
                    look.gap = look.gap or (
                        f"{_sent(interface)} {number + 1:08d} has no answer ({there}), later batches have; "
                        "see to the ERP's posting job"
                    )
                return
            if not self._told(head, lines, cursor, look):
                return
            number += 1
            look.last[interface] = number
        look.more = look.more or len(found) == self._settings.files_per_page

    def _told(self, head: Any, lines: list[Any], cursor: Cursor, look: Look) -> bool:
        """Add what the job made of one batch; False where it must not be read on."""
        if head.status == "ERROR" and all(line.status == "NEW" for line in lines):
            words = f"{head.err_code or ''} {head.err_text or ''}".strip()
            reason = f"the ERP refused batch {head.batch_id} whole, posted no line: {words}"
            look.refuse(head.batch_id, f"{reason}; mend the cause, then replay", None, to="told")
            return True
        found = batches.totals(
            ({"ref": line.ext_ref, "quantity": line.quantity, "amount": line.amount} for line in lines),
            self._settings.text.encoding,
        )
        said = Totals(
            count=head.rec_count, quantity=head.tot_hours, amount=head.tot_amount, hash_total=head.hash_total
        )
        if found != said:
            reason = (
                f"the control totals of {head.batch_id} are {_show(said)}, its lines make {_show(found)}: "
                "somebody changed them; not a line of it was read, restore them"
            )
            held = Move(name=head.batch_id, to="held", sha256=digest(reason.encode()))
            if held in cursor.moves:
                look.gap = look.gap or reason
                look.moves.append(held)
            else:
                look.refuse(head.batch_id, reason, reason.encode(), to="held")
                look.moves[-1] = held
            return False
        look.arrived.append(
            Arrived(
                file=FileName(
                    interface=head.iface + RESPONSE, company=head.company, seq=head.seq, created=""
                ),
                batch=Batch(
                    header={"created": head.done_at or head.created_at},
                    rows=[_answer(line) for line in lines],
                    totals=found,
                ),
                place=f"isth_line {head.batch_id}",
            )
        )
        return True

    def _answered(self, connection: Connection, interface: str, number: int) -> list[Answered]:
        """The batches after ``number``, with their lines where the job is done."""
        head, line = self._tables.batch, self._tables.line
        query = (
            select(head)
            .where(self._of(interface), head.c.seq > number)
            .order_by(head.c.seq)
            .limit(self._settings.files_per_page)
        )
        found: list[Answered] = []
        for batch in connection.execute(query).all():
            lines = select(line).where(line.c.batch_id == batch.batch_id).order_by(line.c.line_no)
            found.append((batch, list(connection.execute(lines)) if batch.status in DONE else []))
        return found

    def _unnoted(self, interface: str, number: int) -> ColumnElement[bool]:
        table = self._tables.batch
        return and_(
            self._of(interface),
            table.c.seq <= number,
            table.c.status.in_(DONE),
            table.c.answer_read_at.is_(None),
        )

    def _note_read(self, numbers: Mapping[str, int], now: datetime) -> None:
        """Note on the batches up to ``numbers`` that their answers were recorded."""
        table = self._tables.batch

        def work(connection: Connection) -> None:
            for interface, number in numbers.items():
                change = update(table).where(self._unnoted(_sent(interface), number))
                connection.execute(change.values(answer_read_at=now.astimezone(UTC)))

        self._database.write("noting what was read", work)

    def _of(self, interface: str) -> ColumnElement[bool]:
        table = self._tables.batch
        return and_(table.c.iface == interface, table.c.company == self._settings.company)


def _sent(interface: str) -> str:
    """The outbound interface that a response interface answers."""
    return interface.removesuffix(RESPONSE)


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


def _answer(line: Any) -> Record:
    """A line the job is done with, as a line of a response."""
    values = {
        "ref": line.ext_ref,
        "status": line.status,
        "erp_no": line.erp_doc_no,
        "code": line.err_code,
        "message": line.err_text,
        "posted_on": line.posted_on,
        "amount": line.amount if line.posted_amount is None else line.posted_amount,
    }
    raw = msgspec.json.encode({name: value for name, value in values.items() if value is not None})
    return Record(number=line.line_no, tag="D", name="response", values=values, raw=raw)


def _show(sums: Totals) -> str:
    return f"{sums.count} lines, {sums.quantity.normalize():f} units, {sums.amount.normalize():f}"
