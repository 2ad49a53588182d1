"""Whether the org has what the settings say, looked at before the first call that relies on it.

SOQL names a missing field one by one, and a write to a read-only field fails record by record; a describe
shows everything at once, as the integration user sees it.
"""

from collections.abc import Mapping
from typing import Any

import trio

from isthmus.sdk import Fatal
from isthmus_salesforce.client import Client
from isthmus_salesforce.fields import KEY, WRITTEN
from isthmus_salesforce.settings import SalesforceSettings

KEY_FLAGS = ("externalId", "unique", "caseSensitive")
"""Without case, the keys ``erp:a`` and ``erp:A`` would be one record."""
REMEDY = "create it, or say with names what it is called; check the user's field-level security"


class Schema:
    """Describes each object once per opened connector."""

    def __init__(self, client: Client, settings: SalesforceSettings) -> None:
        self._client = client
        self._settings = settings
        self._fine: set[str] = set()
        self._lock = trio.Lock()

    async def ensure(self, *items: str) -> None:
        """
        Raises:
            Fatal: an object or field is missing or may not be written; all of them are named.
            Retryable, Throttled: the org could not be asked.
        """
        if self._fine.issuperset(items):
            return
        async with self._lock:
            told: list[str] = []
            for item in items:
                if item in self._fine:
                    continue
                found = await self.problems(item)
                if found:
                    told.append(f"{self._settings.named(item)} has {', '.join(found)}")
                else:
                    self._fine.add(item)
            if told:
                raise Fatal(f"{'; '.join(told)}: {REMEDY}")

    async def problems(self, item: str) -> list[str]:
        """What is wrong with our object ``item``.

        Raises:
            Fatal: the org shows no such object.
        """
        described = await self._client.describe(self._settings.named(item))
        return problems(item, described, self._settings)


def problems(item: str, described: Mapping[str, Any], settings: SalesforceSettings) -> list[str]:
    """What a describe lacks of our object ``item``; empty when it fits.

    A field behind a look-up is checked with the object it belongs to.
    """
    known = {field["name"]: field for field in described["fields"]}
    wanted = [settings.named(field) for field in settings.fields(item) if "." not in field]
    found = [f"no field {name}" for name in wanted if name not in known]
    if KEY in settings.fields(item) and (key := known.get(settings.named(KEY))):
        found += [f"{key['name']} that is not {flag}" for flag in KEY_FLAGS if not key.get(flag)]
    skipped = {"CurrencyIsoCode"} if settings.currency else set()
    for field in WRITTEN.get(item, ()):
        name = settings.named(field)
        if field in skipped or name not in known:
            continue
        if not (known[name]["updateable"] or known[name]["createable"]):
            found.append(f"{name} that the user may not edit")
    return found
