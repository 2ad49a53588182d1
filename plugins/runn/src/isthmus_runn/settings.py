"""What an admin configures for one Runn account."""

from pathlib import Path
from typing import Annotated

import msgspec

from isthmus.sdk import Secret


class RunnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one Runn account; a test account has a token of its own."""

    token: Secret
    """API token with read and write scope (Settings > API in Runn; only administrators see it)."""
    base_url: str = "https://api.runn.io"
    """API address of the account, as Settings > API shows it; ``https://api.us.runn.io`` in the US."""
    reference_name: Annotated[str, msgspec.Meta(min_length=1)] = "isthmus"
    """Name under which our key is kept in the ``references`` of clients, projects and people."""
    default_role: str | None = None
    """Role given to people whose own role Runn does not know; None refuses such people."""
    forecast_field: str | None = None
    """Name of a text custom field on projects that shows the months of the outlook; None: budget only."""
    demand_field: str | None = None
    """Name of a text custom field on projects that shows what a change order asks for; None: budget only."""
    overlap_s: Annotated[int, msgspec.Meta(ge=1)] = 120
    """Seconds read again on every poll, for changes that Runn commits late or stamps alike."""
    page_size: Annotated[int, msgspec.Meta(ge=1, le=200)] = 200
    """Records per page; Runn takes up to 200."""
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Spaces calls evenly; None sends as fast as needed and heeds Runn's Retry-After."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """Seconds one call may take as a whole."""
    worst_commit_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """Seconds after a lost answer until it is looked up whether the record was created."""
    ca_file: Path | None = None
    """Certificate authority that signs the TLS certificate, where a proxy breaks TLS open."""
