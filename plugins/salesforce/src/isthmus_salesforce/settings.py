"""What an administrator sets: ``[connectors.<instance>]`` with ``plugin = "salesforce"``."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from isthmus.sdk import Secret
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.fields import OBJECTS, STREAMS, Pack

Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class SalesforceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One org."""

    instance_url: str
    """The org's My Domain: ``https://acme.my.salesforce.com``. Credentials go nowhere else."""
    client_id: str
    """Consumer key of the External Client App."""
    login_url: str | None = None
    """Where tokens are asked for; ``instance_url`` when not given, ``https://login.salesforce.com`` works
    for the JWT flow too."""
    username: str | None = None
    """JWT flow: the integration user."""
    private_key: Secret | None = None
    """JWT flow: the PEM private key whose certificate the app has."""
    client_secret: Secret | None = None
    """Client credentials flow: the consumer secret. Used when there is no ``private_key``."""
    audience: str = "https://login.salesforce.com"
    """JWT flow: ``https://test.salesforce.com`` for a sandbox."""
    api_version: Annotated[str, Meta(pattern=r"^v\d{2,3}\.0$")] = "v64.0"
    """Pinned, so that a Salesforce release changes nothing; raise it on purpose."""
    overlap_s: Seconds = 600.0
    """How far each look goes back behind the last one, for rows that became visible late."""
    settle_s: Seconds = 5.0
    """How old a change must be before it is read, so that one second is read whole."""
    page_size: Annotated[int, Meta(ge=1, le=2000)] = 200
    """Rows of one page."""
    read_from: date | None = None
    """Changes before this day (UTC) are not read at the first look; None reads all."""
    where: dict[str, str] = {}
    """A further SOQL condition by stream: ``{ accounts = "Type = 'Customer'" }``."""
    names: dict[str, str] = {}
    """API names of this org by ours, where they differ: ``{ Legal_Entity__c = "Company_Code__c" }``."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] | None = None
    """For an org without multiple currencies: the one it has. ``CurrencyIsoCode`` is then not used."""
    poll_budget_pct: Annotated[float, Meta(gt=0, le=100)] = 80.0
    """Share of the org's daily API calls after which no new look at a stream begins; one that has begun goes
    on."""
    write_reserve_pct: Annotated[float, Meta(ge=0, le=100)] = 10.0
    """The last share of the daily calls: nothing is polled in it, writing goes on."""
    limit_pause_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """The rest when the daily API calls are used up."""
    save_duplicates: bool = False
    """Save although a duplicate rule of the org warns; without it such a record is refused."""
    deadline_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    """The longest one call may take."""
    concurrency: Annotated[int, Meta(ge=1, le=25)] = 4
    """Calls at the same time; Salesforce allows 25 long ones for the whole org."""
    ca_file: Path | None = None
    """PEM of a corporate authority that signs what an inspecting proxy shows."""
    pack: Pack = "sales"
    """What is read and written: ``sales`` (the CRM) or ``certinia-psa`` (Certinia PSA in the same kind of
    org). An org with both has two instances."""
    certinia: CertiniaSettings = CertiniaSettings()
    """How Certinia is used here; only for that pack."""

    def __post_init__(self) -> None:
        if self.private_key is None and self.client_secret is None:
            raise ValueError("private_key or client_secret is needed")
        if self.private_key is not None and self.username is None:
            raise ValueError("username is needed with private_key")
        streams = STREAMS[self.pack]
        if strange := sorted(set(self.where) - set(streams)):
            raise ValueError(f"where knows {', '.join(streams)}, not {', '.join(strange)}")
        if self.certinia != CertiniaSettings() and self.pack != "certinia-psa":
            raise ValueError('certinia is set, but pack is not "certinia-psa"')
        paths = {field for fields in OBJECTS.values() for field in fields}
        known = {*OBJECTS, *(part for path in paths for part in path.split("."))}
        if strange := sorted(set(self.names) - known):
            raise ValueError(f"names: {', '.join(strange)} is none of our API names")

    def named(self, name: str) -> str:
        """What this org calls our object, field or path of fields ``name``."""
        return ".".join(self.names.get(part, part) for part in name.split("."))

    def fields(self, item: str) -> tuple[str, ...]:
        """Our names of the fields of ``item`` that are used in this org."""
        skipped = {"CurrencyIsoCode"} if self.currency else set()
        further: tuple[str | None, ...] = ()
        if item == "pse__Timecard__c":
            further = (self.certinia.service_field, self.certinia.approved_on_field)
        return (*(field for field in OBJECTS[item] if field not in skipped), *filter(None, further))
