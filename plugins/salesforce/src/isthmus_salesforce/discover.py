"""What is there in an org that settings may name: versions, fields, roles, stages, types."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.sdk import Discover, Fatal, Found
from isthmus_salesforce.client import Client
from isthmus_salesforce.fields import PACK_OBJECTS
from isthmus_salesforce.settings import SalesforceSettings

PICKLISTS = {
    "pse__Assignment__c": {
        "pse__Role__c": ("role", "certinia.services"),
        "pse__Status__c": ("assignment status", "certinia.tentative"),
    },
    "pse__Proj__c": {"pse__Stage__c": ("project stage", "certinia.stages")},
    "pse__Expense__c": {"pse__Type__c": ("expense type", "certinia.categories")},
    "pse__Milestone__c": {"pse__Status__c": ("milestone status", "certinia.milestone_status")},
}
"""By object and field: what its values are called, and the setting that maps them."""


class Described(Discover):
    """Reads it from the versions and describes that the connector relies on anyway."""

    def __init__(self, client: Client, settings: SalesforceSettings) -> None:
        self._client = client
        self._settings = settings

    async def found(self) -> list[Found]:
        versions = await self._client.versions()
        seen = [Found(entity="API version", id=v, name=v, setting="api_version") for v in versions]
        for item in PACK_OBJECTS[self._settings.pack]:
            try:
                described = await self._client.describe(self._settings.named(item))
            except Fatal:
                continue  # the check names what is missing
            seen += [*_other_fields(item, described, self._settings), *_values(item, described)]
        return seen


def _other_fields(item: str, described: Mapping[str, Any], settings: SalesforceSettings) -> Iterator[Found]:
    """The org's own fields that are none of ours yet: ``names`` may say that one of them is.

    Those of a managed package have its namespace before their name, and cannot be called otherwise.
    """
    ours = {settings.named(field) for field in settings.fields(item)}
    for field in described["fields"]:
        managed = field["name"].count("__") > 1
        if field["custom"] and not managed and field["name"] not in ours:
            yield Found(entity=f"field of {item}", id=field["name"], name=field["label"], setting="names")


def _values(item: str, described: Mapping[str, Any]) -> Iterator[Found]:
    for field in described["fields"]:
        entity, setting = PICKLISTS.get(item, {}).get(field["name"], ("", ""))
        if not entity:
            continue
        for value in field["picklistValues"]:
            if value["active"]:
                yield Found(entity=entity, id=value["value"], name=value["label"], setting=setting)
