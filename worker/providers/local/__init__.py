"""Picture work that needs no model: masks are grown, pictures are cut and blended, data sets are packed. It is free."""
