"""Records under our key: written once, found again, by external id or by a custom field.

NetSuite lets one integration own the external ids of a record type. Where another one owns them, our key
is kept in a custom field; NetSuite does not enforce it, so before each create it is looked up.
"""

from typing import Any, Literal

from isthmus.sdk import Rejected, Unsure
from isthmus_netsuite.client import RECORDS, Client, eid_path
from isthmus_netsuite.directory import quoted
from isthmus_netsuite.jobs import Jobs, idempotency_key
from isthmus_netsuite.settings import NetSuiteSettings

RecordType = Literal["customer", "job", "timeBill", "charge", "invoice", "creditMemo"]
KEY_FIELD = "custentity_isth_key"
FIELDS: dict[str, str] = {
    "customer": KEY_FIELD,
    "job": KEY_FIELD,
    "timeBill": "custcol_isth_charge",
    "charge": "custcol_isth_charge",
    "invoice": "custbody_isth_charge",
    "creditMemo": "custbody_isth_charge",
}
"""The custom field that bears our key."""
TRANSACTIONS = {"invoice": "CustInvc", "creditMemo": "CustCred"}
REQUESTS_MAX = 32


class Records:
    """Finds and writes records of one account."""

    def __init__(self, client: Client, jobs: Jobs | None, settings: NetSuiteSettings) -> None:
        """
        Args:
            jobs: Where requests are queued; None sends them directly.
        """
        self._client = client
        self._jobs = jobs
        self._settings = settings
        self.by_field = settings.record_key == "custom_field"

    def name(self, key: str) -> str:
        """Our key as NetSuite keeps it."""
        return key if self.by_field else self._settings.external_id(key)

    def marked(self, type: RecordType, key: str) -> dict[str, str]:
        """The property that makes a record ours."""
        return {FIELDS[type]: key} if self.by_field else {"externalId": self.name(key)}

    async def find(self, type: RecordType, key: str) -> dict[str, Any] | None:
        """The record that bears our key, with its sublists.

        Raises:
            Rejected: several bear it, or the peer takes another key for ours.
        """
        if self.by_field:
            id = await self._looked_up(type, key)
            return None if id is None else await self._client.read(type, id=id)
        record: dict[str, Any] | None = await self._client.read(type, external_id=self.name(key))
        if record is not None and record.get("externalId") != self.name(key):
            # Keys that differ in case or blanks only are two keys to us; an upsert would merge them.
            raise Rejected(
                f"NetSuite takes {type} {record['id']} of {record.get('externalId')!r} for "
                f"{self.name(key)!r}; give one of them another key, or link it in the crosswalk, then retry",
                reason="duplicate",
            )
        return record

    async def _looked_up(self, type: RecordType, key: str) -> str | None:
        transaction = TRANSACTIONS.get(type)
        kind = f" AND type = {quoted(transaction)}" if transaction else ""
        table = "transaction" if transaction else type.lower()
        found = await self._client.query(
            f"SELECT id, {FIELDS[type]} AS ours FROM {table} "  # noqa: S608
            f"WHERE {FIELDS[type]} = {quoted(key)}{kind} ORDER BY id"
        )
        rows = [row for row in found if row.get("ours") == key]
        if len(rows) > 1:
            raise Rejected(
                f"{type} {' and '.join(row['id'] for row in rows)} both bear {key}; delete one of them or "
                f"clear its {FIELDS[type]}, then retry",
                reason="duplicate",
            )
        return rows[0]["id"] if rows else None

    async def put(self, type: RecordType, key: str, body: dict[str, Any], *, once: str) -> str:
        """Write a record under our key, as often as is asked; returns its id."""
        found = await self.find(type, key)
        if found is not None:
            return await self._client.change(type, str(found["id"]), body)
        return str((await self.write(type, key, body, once=once))["id"])

    async def write(
        self,
        type: RecordType,
        key: str,
        body: dict[str, Any],
        *,
        once: str,
        replace: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Write a record that was looked for in vain, and read it back.

        Args:
            once: What this is asked for; makes the idempotency key of a queued request.
            replace: sublists whose lines are replaced where the record is there after all.

        Raises:
            Unsure: it was acknowledged, but is not there under our key.
        """
        if self._jobs is not None:
            return await self._queued(self._jobs, type, key, body, once, replace)
        ((field, value),) = self.marked(type, key).items()
        if self.by_field:
            id = await self._client.create(type, {**body, field: value})
        else:
            id = await self._client.upsert(type, value, body, replace=replace)
        record = await self._client.read(type, id=id)
        if not isinstance(record, dict) or record.get(field) != value:
            raise Unsure(f"{type} {id} was acknowledged, but is not there under {value}")
        return record

    async def _queued(
        self,
        jobs: Jobs,
        type: RecordType,
        key: str,
        body: dict[str, Any],
        once: str,
        replace: tuple[str, ...],
    ) -> dict[str, Any]:
        """Queue the request, under the next key when the job of the one before is known to have failed.

        A key that was used leads to its first job for as long as NetSuite remembers it, also when a person
        has mended what that job failed on.
        """
        for n in range(REQUESTS_MAX):
            if self.by_field:
                method, path, sent = "POST", f"{RECORDS}/{type}", {**body, **self.marked(type, key)}
            else:
                method, path, sent = "PUT", eid_path(type, self.name(key), replace), body
            job = await jobs.submit(method, path, sent, key=idempotency_key(once, n))
            await jobs.wait(job)
            record = await self.find(type, key)
            if record is not None:
                return record
            if job.ours:
                raise await jobs.error_of(job)
        raise Rejected(
            f"{REQUESTS_MAX} queued requests for {key} have failed; set writes to direct, then retry",
            reason="other",
        )
