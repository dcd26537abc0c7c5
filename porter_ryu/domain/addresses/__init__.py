"""Who holds which address: pools, rules, holdings, records."""
