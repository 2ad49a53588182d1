"""What the posting job made of our batches, read back line by line."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, update

from isthmus_legacy_erp import batch as batches
from isthmus_legacy_erp.batch import Batch, Totals
from isthmus_legacy_erp.codec import Row as Record
from isthmus_legacy_erp.look import Arrived, Cursor, Look, Move
from isthmus_legacy_erp.names import RESPONSE, FileName, digest
from isthmus_legacy_erp.outbox import FrozenBatch
from isthmus_legacy_erp.settings import LegacyErpSettings
from isthmus_legacy_erp.staging.database import Database

DONE = ("POSTED", "ERROR")

Answered = tuple[Any, list[Any]]
"""A batch and its lines, as rows."""


class Answers:
    """Reads the job's columns of ``isth_batch`` and ``isth_line``, in the order of batch numbers."""

    def __init__(self, database: Database, settings: LegacyErpSettings) -> None:
        self._database = database
        self._tables = database.tables
        self._settings = settings

    def look(self, interfaces: Sequence[str], cursor: Cursor, now: datetime) -> Look:
        """The next answered batches of each response interface; what ``cursor`` covers is noted as read."""
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

    def refused_lines(self, batch: FrozenBatch) -> frozenset[int]:
        head, lines = self._tables.batch, self._tables.line
        query = (
            select(head.c.status.label("batch_status"), lines.c.line_no, lines.c.status)
            .join_from(head, lines, head.c.batch_id == lines.c.batch_id)
            .where(head.c.batch_id == batch.file.batch_id, head.c.answer_read_at.is_not(None))
        )
        found = self._database.rows("reading answers", query)
        return frozenset(
            line.line_no
            for line in found
            if line.status == "REJECTED" or (line.batch_status == "ERROR" and line.status == "NEW")
        )

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
            self._settings.text.charset,
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
