"""What the drop directory shows of the ERP: its company codes, and the numbers that are used up."""

from isthmus.sdk import Context, Discover, Found
from isthmus_legacy_erp import names
from isthmus_legacy_erp.disk import FOLDERS, Drop, fate
from isthmus_legacy_erp.names import ACK, DONE, NAK, FileName


class DropDiscover(Discover):
    """Reads the names of files, opens none."""

    def __init__(self, ctx: Context, drop: Drop) -> None:
        self._ctx = ctx
        self._drop = drop

    async def found(self) -> list[Found]:
        return await self._ctx.run_blocking(self._look)

    def _look(self) -> list[Found]:
        try:
            files = [file for folder in FOLDERS for name in self._drop.names(folder) if (file := _file(name))]
        except OSError as error:
            raise fate(error, f"looking into {self._drop.root}") from error
        return listed({(file.company, file.interface): file.seq for file in sorted(files, key=_number)})


def listed(last: dict[tuple[str, str], int]) -> list[Found]:
    """Companies, and the last number of each of their interfaces."""
    companies = sorted({company for company, _ in last})
    return [
        *(Found(entity="company", id=company, name=company, setting="company") for company in companies),
        *(
            Found(entity="last number", id=str(number), name=f"{interface} of {company}", setting="first_seq")
            for (company, interface), number in sorted(last.items())
        ),
    ]


def _file(name: str) -> FileName | None:
    for ending in (DONE, ACK, NAK):
        name = name.removesuffix(ending)
    return names.parse(name)


def _number(file: FileName) -> int:
    return file.seq
