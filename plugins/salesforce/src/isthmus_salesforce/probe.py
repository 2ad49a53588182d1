"""Whether an org can be worked with: login, version, clock, quota, objects and fields."""

from isthmus.sdk import Check, ConnectorError, Context, Probe
from isthmus_salesforce.client import Client, Login
from isthmus_salesforce.fields import PACK_OBJECTS
from isthmus_salesforce.schema import REMEDY, Schema
from isthmus_salesforce.settings import SalesforceSettings

CLOCK_S = 60.0


class SalesforceProbe(Probe):
    """Looks at everything the connector relies on; writes nothing."""

    def __init__(
        self, client: Client, login: Login, schema: Schema, settings: SalesforceSettings, ctx: Context
    ) -> None:
        self._client = client
        self._login = login
        self._schema = schema
        self._settings = settings
        self._ctx = ctx

    async def checks(self) -> list[Check]:
        try:
            used_pct = await self._client.usage()
        except ConnectorError as error:
            remedy = "check client_id, username, the key and the user's permissions in the app's policies"
            return [Check(name="login", ok=False, detail=_said(error), remedy=remedy)]
        checks = [self._origin(), self._quota(used_pct), await self._version(), await self._clock()]
        return [*checks, *[await self._object(item) for item in PACK_OBJECTS[self._settings.pack]]]

    def _origin(self) -> Check:
        told = (self._login.instance_url or "").rstrip("/")
        return Check(
            name="login",
            ok=told == self._settings.instance_url.rstrip("/"),
            detail=f"logged in; the org says it is at {told or 'nowhere'}",
            remedy=f'set instance_url = "{told}"',
        )

    def _quota(self, used_pct: float) -> Check:
        return Check(
            name="api calls",
            ok=used_pct < self._settings.poll_budget_pct,
            detail=f"{used_pct:.0f} % of the last 24 hours' calls are used",
            remedy="poll less often, or buy calls; writing goes on until they are gone",
        )

    async def _version(self) -> Check:
        try:
            versions = await self._client.versions()
        except (ConnectorError, KeyError, TypeError) as error:
            return Check(name="version", ok=False, detail=_said(error))
        return Check(
            name="version",
            ok=self._settings.api_version in versions,
            detail=f"{self._settings.api_version}; the org has up to {versions[-1] if versions else 'none'}",
            remedy="set api_version to one the org has",
        )

    async def _clock(self) -> Check:
        served_at = await self._client.clock()
        apart_s = abs((self._ctx.now() - served_at).total_seconds()) if served_at else 0.0
        return Check(
            name="clock",
            ok=apart_s <= CLOCK_S,
            detail=f"{apart_s:.0f} s apart",
            remedy="let a time service set this machine's clock: logins are signed with the time",
        )

    async def _object(self, item: str) -> Check:
        """Whether the org has the fields we read and write; visible to the user, as describe shows them."""
        name = self._settings.named(item)
        try:
            problems = await self._schema.problems(item)
        except (ConnectorError, KeyError, TypeError) as error:
            remedy = f"create {name}, or say with names what it is called; give the user access"
            return Check(name=name, ok=False, detail=_said(error), remedy=remedy)
        count = len(self._settings.fields(item))
        return Check(
            name=name, ok=not problems, detail="; ".join(problems) or f"{count} fields", remedy=REMEDY
        )


def _said(error: Exception) -> str:
    words = getattr(error, "peer_words", None)
    return f"{error} ({words})" if words and words not in str(error) else str(error)
