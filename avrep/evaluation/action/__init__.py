"""Action recognition data: which videos train, which test, and what each shows."""
