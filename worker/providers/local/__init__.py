"""Picture work that needs no model: masks are grown, pictures are cut and blended, in this process and for free."""
