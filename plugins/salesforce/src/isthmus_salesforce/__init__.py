"""isthmus connector for Salesforce: won deals and contracts out, invoices and payments in."""
