"""`isthmus api`."""

from typing import Annotated

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask, offline_ask
from isthmus.cli.commands.options import ConfigDir, Offline, Output, Reason
from isthmus.cli.exits import USAGE, Leave
from isthmus.cli.output import say, show, show_one

__all__ = ["api"]

api = App(name="api", help="The HTTP services for other systems: their tokens, their document.")
token = App(name="token", help="Who may call the services: new, list, revoke.")
api.command(token)


@token.command(name="new")
def token_new(
    name: Annotated[str, Parameter(help="Who calls; it stands in the audit trail.")],
    /,
    *,
    scope: Annotated[
        list[str], Parameter(negative=(), help="What it may do, such as time:submit; repeat it.")
    ],
    source: Annotated[
        str | None, Parameter(help="The submitter, part of the keys of what it submits; else the name.")
    ] = None,
    ttl: Annotated[str, Parameter(help="How long it is valid: 90d, 12h.")] = "90d",
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """Make a token. It is shown once: only a digest of it is kept.

    Example: isthmus api token new timesheets --scope time:submit --scope time:read
    """
    from isthmus.cli.times import span

    ttl_s = span("--ttl", ttl).total_seconds()
    order = {"name": name, "scopes": scope, "source": source, "ttl_s": ttl_s}
    made = ask("POST", "/v1/tokens", config, order=order)
    if output == "table":
        print(made["token"])
        say(f"it is not shown again; it ends on {made['expires_at'][:10]}")
    else:
        show_one(made, output)


@token.command(name="list")
def token_list(*, offline: Offline = False, config: ConfigDir = None, output: Output = "table") -> None:
    """List every token there ever was, without its text.

    Example: isthmus api token list
    """
    rows = (
        offline_ask(config, lambda desk: desk.tokens.list()) if offline else ask("GET", "/v1/tokens", config)
    )
    show(rows, ["name", "id", "source", "scopes", "state", "expires_at", "created_by"], output)


@token.command(name="revoke")
def token_revoke(
    name: Annotated[str, Parameter(help="The token's name or id.")],
    /,
    *,
    reason: Reason = "",
    config: ConfigDir = None,
) -> None:
    """Take a token back; it opens nothing from the next request on.

    Example: isthmus api token revoke timesheets --reason "replaced"
    """
    if not reason:
        raise Leave(USAGE, "say why with --reason; it lands in the audit trail")
    ask("POST", "/v1/tokens/revoke", config, order={"name": name, "why": reason})


@api.command(name="document")
def api_document() -> None:
    """Print the OpenAPI document of the services; no daemon is needed.

    Example: isthmus api document > isthmus.openapi.json
    """
    from isthmus.services.document import openapi

    show_one(openapi(), "json")
