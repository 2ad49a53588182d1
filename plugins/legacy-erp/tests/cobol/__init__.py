"""A COBOL program that takes our batches as an ERP does."""
