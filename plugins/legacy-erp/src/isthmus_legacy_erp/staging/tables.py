"""The staging tables, for every database. ``ddl/`` has them as the statements a DBA runs.

Names are fixed here and nowhere made of settings or data; only the schema is the admin's, and its form is
checked. Money is exact on every database: SQLite has no decimals, so there it is text. Text can be anything:
what is no amount reads as NaN and what is no day as nothing, and both are refused by who needs them.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from isthmus_legacy_erp.codec import Values

AMOUNT = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,10})?", re.ASCII)


class Exact(TypeDecorator[Decimal]):
    """A decimal, never by way of a float."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else Numeric(asdecimal=True))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        text = str(value).strip()
        return Decimal(text) if AMOUNT.fullmatch(text) else Decimal("NaN")


class Day(TypeDecorator[date]):
    """A date; ISO text on SQLite."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else Date())

    def process_bind_param(self, value: date | None, dialect: Dialect) -> Any:
        return value.isoformat() if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> date | None:
        if not isinstance(value, str):
            return cast(date | None, value)
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None


class Utc(TypeDecorator[datetime]):
    """An instant: with its zone where the database has that, else ISO text in UTC."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            return None
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a batch as it is frozen, and as it stands in ``isth_line``: the same names."""

    line_no: int
    ext_ref: str
    revision: int = 0
    try_no: int = 1
    name: str | None = None
    tax_id: str | None = None
    address: str | None = None
    record_status: str | None = None
    customer_no: str | None = None
    contract_ref: str | None = None
    manager: str | None = None
    starts_on: date | None = None
    stage: str | None = None
    billing: str | None = None
    budget: Decimal | None = None
    reverses_ref: str | None = None
    project_no: str | None = None
    contract_line: str | None = None
    origin: str | None = None
    service: str | None = None
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    earned_on: date | None = None
    posting_on: date | None = None
    dimensions: str | None = None
    line_text: str | None = None


RENAMED = {
    "line": "line_no",
    "ref": "ext_ref",
    "status": "record_status",
    "contract": "contract_ref",
    "reverses": "reverses_ref",
    "text": "line_text",
}
"""Columns by the name of a layout's field, where they differ."""


def row(values: Values) -> Row:
    """The values of a detail under the names of the columns."""
    return Row(**{RENAMED.get(name, name): value for name, value in values.items()})  # type: ignore[arg-type]


class Tables:
    """The tables in one schema, or in the account's default one."""

    def __init__(self, schema: str | None) -> None:
        self.metadata = MetaData(schema=schema)
        self.batch = Table(
            "isth_batch",
            self.metadata,
            Column("batch_id", String),
            Column("iface", String),
            Column("company", String),
            Column("seq", Integer),
            Column("sha256", String),
            Column("currency", String),
            Column("rec_count", Integer),
            Column("tot_hours", Exact),
            Column("tot_amount", Exact),
            Column("hash_total", BigInteger),
            Column("status", String),
            Column("created_at", Utc),
            Column("claimed_at", Utc),
            Column("done_at", Utc),
            Column("err_code", String),
            Column("err_text", String),
            Column("answer_read_at", Utc),
        )
        self.line = Table(
            "isth_line",
            self.metadata,
            Column("batch_id", String),
            Column("iface", String),
            Column("company", String),
            Column("line_no", Integer),
            Column("ext_ref", String),
            Column("revision", BigInteger),
            Column("try_no", Integer),
            *(Column(name, _TYPES.get(name, String)) for name in ROW_FIELDS[4:]),
            Column("status", String),
            Column("err_code", String),
            Column("err_text", String),
            Column("erp_doc_no", String),
            Column("posted_on", Day),
            Column("posted_amount", Exact),
            Column("processed_at", Utc),
        )
        self.out = Table(
            "isth_out",
            self.metadata,
            Column("id", BigInteger),
            Column("company", String),
            Column("kind", String),
            Column("ref", String),
            Column("invoice_no", String),
            Column("customer_no", String),
            Column("project_no", String),
            Column("charge_ref", String),
            Column("line_count", Integer),
            Column("issued_on", Day),
            Column("due_on", Day),
            Column("amount", Exact),
            Column("open_amount", Exact),
            Column("currency", String),
            Column("reason", String),
            Column("created_at", Utc),
        )
        self.period = Table(
            "isth_period",
            self.metadata,
            Column("company", String),
            Column("period", String),
            Column("ledger", String),
            Column("starts_on", Day),
            Column("ends_on", Day),
            Column("status", String),
            Column("change_no", Integer),
            Column("changed_at", Utc),
        )

    def all(self) -> list[Table]:
        return [self.batch, self.line, self.out, self.period]


ROW_FIELDS = Row.__struct_fields__
_TYPES: dict[str, type[TypeEngine[Any]] | type[TypeDecorator[Any]]] = {
    **dict.fromkeys(("budget", "quantity", "unit_price", "amount"), Exact),
    **dict.fromkeys(("starts_on", "earned_on", "posting_on"), Day),
}
