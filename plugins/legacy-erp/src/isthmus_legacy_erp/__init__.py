"""On-premises ERPs that exchange numbered fixed-width batch files with control totals."""
