"""Can this account be worked with? Looks only."""

from email.utils import parsedate_to_datetime

from isthmus.sdk import Check, Context, Fatal, Http, Probe, Rejected
from isthmus_netsuite.client import LIMITS, Client
from isthmus_netsuite.records import KEY_FIELD
from isthmus_netsuite.settings import NetSuiteSettings
from isthmus_netsuite.stamps import ORACLE_STAMP, to_stamp

CUSTOM_FIELDS = (
    "custcol_isth_charge",
    "custcol_isth_amount",
    "custcol_isth_currency",
    "custcol_isth_contract",
    "custcol_isth_line",
    "custcol_isth_earned_on",
    "custcol_isth_dimensions",
    "custcol_isth_reverses",
    "custbody_isth_charge",
    "custbody_isth_amount",
    "custbody_isth_contract",
    "custentity_isth_contract",
    "custentity_isth_budget",
    "custentity_isth_schedule",
)
CLOCK_MAX_S = 60.0


class NetSuiteProbe(Probe):
    """Login, reading rights, custom fields, clock, time zone, concurrency, subsidiaries."""

    def __init__(self, http: Http, client: Client, settings: NetSuiteSettings, ctx: Context) -> None:
        self._http = http
        self._client = client
        self._settings = settings
        self._ctx = ctx

    async def checks(self) -> list[Check]:
        login = await self._login()
        if not login.ok:
            return [login]
        return [
            login,
            await self._reading(),
            await self._fields(),
            await self._clock(),
            await self._zone(),
            await self._limit(),
            await self._subsidiaries(),
        ]

    async def _login(self) -> Check:
        try:
            rows = await self._client.query("SELECT id FROM currency ORDER BY id")
        except (Fatal, Rejected) as error:
            return Check(
                name="login",
                ok=False,
                detail=error.peer_words or str(error),
                remedy="check the credentials, and the role's SuiteAnalytics Workbook and REST permissions",
            )
        return Check(name="login", ok=True, detail=f"logged in; {len(rows)} currencies")

    async def _reading(self) -> Check:
        missing = []
        for table in ("transaction", "transactionline", "accountingperiod", "job", "timebill", "charge"):
            try:
                await self._client.query(f"SELECT COUNT(*) AS n FROM {table}")  # noqa: S608
            except (Fatal, Rejected):
                missing.append(table)
        return Check(
            name="reading",
            ok=not missing,
            detail=f"cannot read {', '.join(missing)}" if missing else "all tables can be read",
            remedy="give the role View on these record types; charge needs Charge-Based Billing"
            if missing
            else "",
        )

    async def _fields(self) -> Check:
        rows = await self._client.query(
            "SELECT LOWER(scriptid) AS scriptid FROM customfield ORDER BY scriptid"
        )
        present = {row["scriptid"] for row in rows}
        wanted = [*CUSTOM_FIELDS, KEY_FIELD] if self._settings.record_key == "custom_field" else CUSTOM_FIELDS
        missing = [name for name in wanted if name not in present]
        return Check(
            name="custom fields",
            ok=not missing,
            detail=f"missing: {', '.join(missing)}" if missing else f"all {len(wanted)} are there",
            remedy="create them as free-form text, as the README lists" if missing else "",
        )

    async def _clock(self) -> Check:
        reply = await self._http.get("/services/rest/record/v1/metadata-catalog")
        told = reply.headers.get("date")
        if told is None:
            return Check(name="clock", ok=True, detail="the peer tells no time")
        off = abs((self._ctx.now() - parsedate_to_datetime(told)).total_seconds())
        return Check(
            name="clock",
            ok=off <= CLOCK_MAX_S,
            detail=f"{off:.0f} s from NetSuite's",
            remedy="" if off <= CLOCK_MAX_S else "set this machine's clock; assertions are refused otherwise",
        )

    async def _zone(self) -> Check:
        """SuiteQL and the record service tell the same moment of the newest customer, each in its own way."""
        rows = await self._client.query(
            f"SELECT id, TO_CHAR(lastmodifieddate, '{ORACLE_STAMP}') AS modified FROM customer "  # noqa: S608
            "WHERE id = (SELECT MAX(id) FROM customer)"
        )
        if not rows:
            return Check(name="time zone", ok=True, detail="no customer to compare the times of")
        stamp = rows[0]["modified"]
        try:
            at = await self._client.modified_at("customer", rows[0]["id"])
        except ValueError as error:
            return Check(
                name="time zone", ok=False, detail=str(error), remedy="give the role View on customers"
            )
        told = stamp if at is None else to_stamp(at, self._settings.zone)
        zone = self._settings.account_time_zone
        return Check(
            name="time zone",
            ok=told == stamp,
            detail=f"customer {rows[0]['id']} was saved at {stamp} by SuiteQL, at {told} in {zone}",
            remedy="" if told == stamp else "set account_time_zone to the zone of the integration's user",
        )

    async def _limit(self) -> Check:
        """The account's concurrency limit, where the role may ask for it."""
        reply = await self._client.send("GET", LIMITS, accept=lambda reply: True)
        told = reply.json() if reply.ok else {}
        limits = [told.get(name) for name in ("integrationConcurrencyLimit", "accountConcurrencyLimit")]
        known = [limit for limit in limits if isinstance(limit, int)]
        if not known:
            return Check(name="concurrency", ok=True, detail="only an administrator is told the limit")
        wanted = self._settings.concurrency
        return Check(
            name="concurrency",
            ok=wanted <= known[0],
            detail=f"{known[0]} calls at the same time for all integrations, {wanted} configured",
            remedy="" if wanted <= known[0] else f"set concurrency to {known[0]} or less",
        )

    async def _subsidiaries(self) -> Check:
        ids = set(self._settings.subsidiaries.values()) | {self._settings.default_subsidiary or ""} - {""}
        if not ids:
            return Check(name="subsidiaries", ok=True, detail="none configured")
        rows = await self._client.query("SELECT id FROM subsidiary ORDER BY id")
        missing = sorted(ids - {row["id"] for row in rows})
        return Check(
            name="subsidiaries",
            ok=not missing,
            detail=f"unknown: {', '.join(missing)}" if missing else "all are known",
            remedy="correct subsidiaries and default_subsidiary" if missing else "",
        )
