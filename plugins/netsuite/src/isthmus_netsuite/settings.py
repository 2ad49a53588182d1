"""What an admin writes under ``[connectors.<instance>]`` for NetSuite."""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from isthmus.sdk import Secret

Algorithm = Literal["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]


def _about(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class NetSuiteSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One NetSuite account and the role isthmus works with there."""

    account: Annotated[str, _about("Account id as NetSuite shows it: `1234567` or `1234567_SB1`.")]
    base_url: Annotated[
        str | None, _about("Origin of the REST services; made of the account where absent.")
    ] = None
    auth: Annotated[
        Literal["oauth2", "tba"],
        _about("`oauth2` is client credentials with a signed assertion; `tba` is token-based (OAuth 1.0a)."),
    ] = "oauth2"
    client_id: Annotated[str | None, _about("oauth2: client id of the integration record.")] = None
    certificate_id: Annotated[
        str | None, _about("oauth2: id NetSuite gave the uploaded certificate; sent as `kid`.")
    ] = None
    private_key: Annotated[Secret | None, _about("oauth2: PEM of the certificate's private key.")] = None
    algorithm: Annotated[Algorithm, _about("oauth2: how the assertion is signed; RS256 is refused.")] = (
        "PS256"
    )
    tba_consumer_key: Annotated[Secret | None, _about("tba: consumer key of the integration record.")] = None
    tba_consumer_secret: Annotated[Secret | None, _about("tba: consumer secret.")] = None
    tba_token_id: Annotated[Secret | None, _about("tba: token id of the role's access token.")] = None
    tba_token_secret: Annotated[Secret | None, _about("tba: token secret.")] = None

    subsidiaries: Annotated[
        dict[str, str], _about("Internal id of the subsidiary by our legal entity key.")
    ] = {}
    default_subsidiary: Annotated[
        str | None, _about("Subsidiary of entities not listed; absent: none is sent (no OneWorld).")
    ] = None
    account_time_zone: Annotated[
        str, _about("IANA zone of the integration's user: SuiteQL tells times of day in it.")
    ] = "America/Los_Angeles"
    overlap_s: Annotated[
        float, msgspec.Meta(ge=0, description="How far each poll reads back behind what it has seen.")
    ] = 600.0
    settle_s: Annotated[
        float,
        msgspec.Meta(
            ge=0, description="Changes younger than this wait for the next poll; at least 1 in production."
        ),
    ] = 2.0
    page_size: Annotated[int, msgspec.Meta(ge=1, le=1000, description="Rows per SuiteQL page.")] = 1000
    record_key: Annotated[
        Literal["external_id", "custom_field"],
        _about("Where records bear our key; a custom field where another integration owns external ids."),
    ] = "external_id"
    external_id_prefix: Annotated[
        str,
        msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,20}$", description="External ids are `<prefix>:<our key>`."),
    ] = "isth"
    writes: Annotated[
        Literal["direct", "async", "batch"],
        _about("`async` queues each record, `batch` queues time and expenses up to `batch_max` at a time."),
    ] = "direct"
    batch_max: Annotated[int, msgspec.Meta(ge=2, le=100, description="Records of one queued request.")] = 100
    job_patience_s: Annotated[
        float, msgspec.Meta(gt=0, description="How long one try waits for a queued request to be done.")
    ] = 20.0
    worst_commit_s: Annotated[
        float,
        msgspec.Meta(ge=0, description="custom_field: how long after a lost answer a record may still come."),
    ] = 900.0
    concurrency: Annotated[
        int, msgspec.Meta(ge=1, le=50, description="Calls at the same time; the account's limit is shared.")
    ] = 4
    deadline_s: Annotated[float, msgspec.Meta(gt=0, description="Patience for one call.")] = 60.0
    ca_file: Annotated[Path | None, _about("Certificate authority, where a proxy breaks TLS open.")] = None
    client_cert: Annotated[Path | None, _about("PEM of a client certificate with key, for mutual TLS.")] = (
        None
    )
    items: Annotated[
        dict[str, str],
        _about("Internal id of the item, by a charge's `item` dimension, else its service, else its origin."),
    ] = {}
    default_item: Annotated[
        str | None, _about("Item of services not listed; absent: such charges are rejected.")
    ] = None
    default_employee: Annotated[
        str | None, _about("Employee of time whose resource has no employee in the crosswalk.")
    ] = None
    dimensions: Annotated[
        dict[Literal["department", "class", "location"], dict[str, str]],
        _about("Internal ids of segment values by our dimension value; dimensions not listed stay text."),
    ] = {}
    match_customers: Annotated[
        Literal["never", "tax_id"],
        _about("`tax_id` adopts an existing customer with the same tax number instead of creating one."),
    ] = "never"

    def __post_init__(self) -> None:
        needed = {
            "oauth2": ("client_id", "certificate_id", "private_key"),
            "tba": ("tba_consumer_key", "tba_consumer_secret", "tba_token_id", "tba_token_secret"),
        }[self.auth]
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"auth {self.auth!r} also needs {', '.join(missing)}")
        if self.writes == "batch" and self.record_key != "external_id":
            raise ValueError("writes 'batch' needs record_key 'external_id': a batch must be safe to repeat")
        try:
            ZoneInfo(self.account_time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"account_time_zone {self.account_time_zone!r} is no IANA zone") from error

    @property
    def origin(self) -> str:
        """Where the REST services are: ``1234567_SB1`` lives at ``1234567-sb1.suitetalk.api...``."""
        host = self.account.lower().replace("_", "-")
        return (self.base_url or f"https://{host}.suitetalk.api.netsuite.com").rstrip("/")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.account_time_zone)

    def external_id(self, key: str) -> str:
        """Our key as NetSuite keeps it."""
        return f"{self.external_id_prefix}:{key}"

    def subsidiary(self, entity: str) -> str | None:
        return self.subsidiaries.get(entity, self.default_subsidiary)

    def entity_of(self, subsidiary: str | None) -> str | None:
        """The legal entity of a subsidiary, where the mapping names it."""
        return next((entity for entity, id in self.subsidiaries.items() if id == subsidiary), None)
