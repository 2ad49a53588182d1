"""A fake of the old ERP: a posting job that reads the drop directory and answers with files of its own.

It shares no code with the connector: it reads and writes records by COBOL copybooks, so that the two sides
check each other.
"""

from isthmus_legacy_erp.simulator.erp import LegacyErp

__all__ = ["LegacyErp"]
