"""The comparison table: a query, its pages, its exports and its import."""
