"""The staging tables in a PostgreSQL that runs."""
