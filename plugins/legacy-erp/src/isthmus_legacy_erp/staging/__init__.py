"""Batches as rows in staging tables of the ERP's database."""
