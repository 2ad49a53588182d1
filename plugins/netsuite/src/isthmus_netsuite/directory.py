"""Look-ups in the account that change rarely, asked once and remembered while the connector is open."""

from collections.abc import Iterable, Mapping
from datetime import date

import trio

from isthmus.sdk import Context, Rejected
from isthmus_netsuite.client import Client
from isthmus_netsuite.reading import Party, closed_ledgers, period_name

OPEN_PERIOD_TRUSTED_S = 15.0
"""How long an open period is believed open; NetSuite itself refuses what comes in between."""

IN_MAX = 1000
"""Oracle takes no longer lists."""

PARENTS_KEPT = 1000
"""How many jobs' customers are remembered from page to page."""


def quoted(text: str) -> str:
    """A SuiteQL string literal; SuiteQL takes no bound parameters over REST."""
    return "'" + text.replace("'", "''") + "'"


def listed(ids: Iterable[str]) -> str:
    """Ids for an IN list; ids are digits, and nothing else is let through."""
    return ", ".join(sorted({id for id in ids if id.isdigit()}, key=int)) or "0"


class Directory:
    """Currencies, jobs and open periods of one account."""

    def __init__(self, client: Client, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx
        self._symbols: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._open: dict[str, tuple[date, date, float]] = {}
        self._lock = trio.Lock()

    async def symbols(self, needed: Iterable[str] = ()) -> Mapping[str, str]:
        """ISO codes by internal id of the currency; asked again when one of ``needed`` is not known."""
        async with self._lock:
            if not self._symbols or not self._symbols.keys() >= set(needed):
                rows = await self._client.query("SELECT id, symbol FROM currency ORDER BY id")
                self._symbols = {row["id"]: row["symbol"] for row in rows}
        return self._symbols

    async def currency_id(self, code: str) -> str:
        """Internal id of an ISO code.

        Raises:
            Rejected: the account does not list that currency.
        """
        if code not in self._symbols.values():
            self._symbols = {}
        for id, symbol in (await self.symbols()).items():
            if symbol == code:
                return id
        raise Rejected(
            f"the account has no currency {code}; add it in NetSuite, then retry", reason="mapping"
        )

    async def parties(self, entities: Iterable[str]) -> dict[str, Party]:
        """Customer and project, in our keys, by the internal id of a transaction's entity.

        An entity is a job or a customer. One that is not in the crosswalk gets a key of this instance.
        """
        wanted = set(entities)
        if len(self._parents) > PARENTS_KEPT:
            self._parents.clear()
        unknown = sorted(wanted - self._parents.keys())
        for n in range(0, len(unknown), IN_MAX):
            where = f"id IN ({listed(unknown[n : n + IN_MAX])})"
            async for row in self._client.walk("id, parent", "job", where=where, keys={"id": "id"}):
                if "parent" in row:
                    self._parents[row["id"]] = row["parent"]
        parties = {}
        for entity in wanted:
            parent = self._parents.get(entity)
            project = None
            if parent is not None:
                project = await self.key("project", entity)
            parties[entity] = Party(customer=await self.key("customer", parent or entity), project=project)
        return parties

    async def key(self, kind: str, id: str) -> str:
        """Our key of a record, or a key of this instance where the crosswalk has none."""
        return await self._ctx.crosswalk.key_of(kind, id) or self._ctx.key(id)

    async def require_open(self, day: date) -> None:
        """Check that receivables take a posting dated ``day``.

        NetSuite refuses transactions in a closed period itself, but takes time entries there.

        Raises:
            Rejected: the period is closed, with reason ``period``.
        """
        now = trio.current_time()
        for starts_on, ends_on, until in self._open.values():
            if starts_on <= day <= ends_on and now < until:
                return
        rows = await self._client.query(
            "SELECT id, periodname, closed, alllocked, arlocked, "  # noqa: S608
            "TO_CHAR(startdate, 'YYYY-MM-DD') AS startdate, TO_CHAR(enddate, 'YYYY-MM-DD') AS enddate "
            "FROM accountingperiod WHERE isyear = 'F' AND isquarter = 'F' AND isadjust = 'F' "
            f"AND startdate <= TO_DATE('{day}', 'YYYY-MM-DD') AND enddate >= TO_DATE('{day}', 'YYYY-MM-DD') "
            "ORDER BY id"
        )
        for row in rows:
            starts_on, ends_on = date.fromisoformat(row["startdate"]), date.fromisoformat(row["enddate"])
            if closed_ledgers(row):
                raise Rejected(
                    f"the period {period_name(starts_on, ends_on)} is closed for receivables",
                    reason="period",
                    peer_words=f"accounting period {row.get('periodname')} is closed or locked",
                )
            self._open[row["id"]] = (starts_on, ends_on, now + OPEN_PERIOD_TRUSTED_S)
        if not rows:
            raise Rejected(
                f"the account has no accounting period for {day}; set it up, then retry", reason="period"
            )
