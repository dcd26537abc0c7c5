"""Who holds which address: pools, rules, the book of what is held."""
