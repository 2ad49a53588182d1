"""Oracle NetSuite: customers, projects and charges go in; invoices, payments and periods come out."""
