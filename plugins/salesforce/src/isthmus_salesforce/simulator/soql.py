"""A small SOQL: one object, fields through parent relationships, conditions, order, limit, COUNT().

Not taken: child subqueries in SELECT, GROUP BY and aggregates other than COUNT(), TYPEOF, date functions.
What Salesforce refuses is refused too: AND mixed with OR without parentheses, a quoted date, an unquoted
string.
"""

import re
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec


class SoqlRefused(Exception):
    """The query is not SOQL, or names what the org does not have."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Value(msgspec.Struct, frozen=True):
    """A literal, or a bare word such as ``TODAY``; instants and dates in the form rows have."""

    kind: Literal["string", "number", "date", "datetime", "boolean", "null", "word"]
    value: Any


class Compare(msgspec.Struct, frozen=True):
    path: str
    op: str
    value: Value


class Among(msgspec.Struct, frozen=True):
    """``path IN (...)``; the choice is a list of literals or another query's only field."""

    path: str
    choice: "tuple[Value, ...] | Query"
    negated: bool


class Junction(msgspec.Struct, frozen=True):
    word: Literal["AND", "OR"]
    parts: "tuple[Condition, ...]"


class Negation(msgspec.Struct, frozen=True):
    part: "Condition"


Condition = Compare | Among | Junction | Negation


class Order(msgspec.Struct, frozen=True):
    path: str
    descending: bool = False
    nulls_last: bool = False


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed query; ``fields`` is empty for ``COUNT()``."""

    fields: tuple[str, ...]
    object: str
    alias: str | None = None
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>'(?:\\.|[^'\\])*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)(?![\w:])
    | (?P<number>[+-]?\d+(?:\.\d+)?)(?![\w:])
    | (?P<word>[A-Za-z][\w.]*)
    | (?P<mark><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class _Token(NamedTuple):
    kind: str
    text: str


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        SoqlRefused: ``MALFORMED_QUERY`` with what was met instead.
    """
    parser = _Parser(text)
    query = parser.query()
    parser.end()
    return query


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[_Token] = []
        at, text = 0, text.strip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise SoqlRefused("MALFORMED_QUERY", f"unexpected token: '{text[at : at + 20].strip()}'")
            kind = str(match.lastgroup)
            self._tokens.append(_Token(kind, match[kind]))
            at = match.end()
        self._at = 0

    def query(self) -> Query:
        self._expect("SELECT")
        fields = self._fields()
        self._expect("FROM")
        name = self._name()
        alias = None
        if self._peek().kind == "word" and self._peek().text.upper() not in _AFTER_FROM:
            self._take("AS")
            alias = self._name()
        where = self._condition() if self._take("WHERE") else None
        order: list[Order] = []
        if self._take("ORDER"):
            self._expect("BY")
            order.append(self._order())
            while self._take(","):
                order.append(self._order())
        limit = self._count() if self._take("LIMIT") else None
        offset = self._count() if self._take("OFFSET") else 0
        return Query(
            fields=fields,
            object=name,
            alias=alias,
            where=where,
            order=tuple(order),
            limit=limit,
            offset=offset,
        )

    def end(self) -> None:
        if self._peek().kind:
            raise self._unexpected()

    def _fields(self) -> tuple[str, ...]:
        fields: list[str] = []
        while True:
            name = self._name()
            if self._take("("):
                if name.upper() == "COUNT" and self._take(")"):
                    return ()
                if name.upper() != "FIELDS":
                    raise self._unexpected()
                name = f"FIELDS({self._name().upper()})"
                self._expect(")")
            fields.append(name)
            if not self._take(","):
                return tuple(fields)

    def _condition(self) -> Condition:
        first = self._simple()
        word: Literal["AND", "OR"] = "OR" if self._is("OR") else "AND"
        parts = [first]
        while self._take(word):
            parts.append(self._simple())
        if self._is("AND") or self._is("OR"):
            raise self._unexpected()  # AND beside OR wants parentheses
        return first if len(parts) == 1 else Junction(word, tuple(parts))

    def _simple(self) -> Condition:
        if self._take("NOT"):
            return Negation(self._simple())
        if self._take("("):
            inner = self._condition()
            self._expect(")")
            return inner
        path = self._name()
        negated = self._take("NOT")
        if self._take("IN"):
            return Among(path, self._choice(), negated)
        if negated:
            raise self._unexpected()
        if self._take("LIKE"):
            return Compare(path, "LIKE", self._value())
        token = self._next()
        if token.text not in ("=", "!=", "<>", "<", ">", "<=", ">="):
            self._at -= 1
            raise self._unexpected()
        return Compare(path, "!=" if token.text == "<>" else token.text, self._value())

    def _choice(self) -> tuple[Value, ...] | Query:
        self._expect("(")
        if self._is("SELECT"):
            inner = self.query()
            self._expect(")")
            return inner
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> Value:
        token = self._next()
        match token.kind, token.text.upper():
            case "string", _:
                text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token.text[1:-1])
                return Value("string", text)
            case "number", _:
                return Value("number", float(token.text))
            case "date", _:
                return Value("date", token.text)
            case "datetime", _:
                instant = datetime.fromisoformat(token.text.replace("Z", "+00:00"))
                return Value("datetime", instant_text(instant))
            case "word", "TRUE" | "FALSE":
                return Value("boolean", token.text.upper() == "TRUE")
            case "word", "NULL":
                return Value("null", None)
            case "word", word:
                days = self._count() if self._take(":") else 0
                return Value("word", (word, days))
            case _:
                self._at -= 1
                raise self._unexpected()

    def _order(self) -> Order:
        path = self._name()
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        nulls_last = descending
        if self._take("NULLS"):
            nulls_last = self._take("LAST")
            if not nulls_last:
                self._expect("FIRST")
        return Order(path, descending, nulls_last)

    def _name(self) -> str:
        token = self._next()
        if token.kind != "word":
            self._at -= 1
            raise self._unexpected()
        return token.text

    def _count(self) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            self._at -= 1
            raise self._unexpected()
        return int(token.text)

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("", "<EOF>")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, text: str) -> bool:
        token = self._peek()
        return token.kind in ("word", "mark") and token.text.upper() == text

    def _take(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected()

    def _unexpected(self) -> SoqlRefused:
        return SoqlRefused("MALFORMED_QUERY", f"unexpected token: '{self._peek().text}'")


_AFTER_FROM = {"WHERE", "ORDER", "LIMIT", "OFFSET"}


def instant_text(instant: datetime) -> str:
    """An instant as the REST API writes it: UTC, whole seconds, no colon in the offset."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
