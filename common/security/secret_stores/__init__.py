"""Where secrets live: one file for each kind of store, the only places that import its driver."""
