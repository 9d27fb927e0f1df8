"""The stream as a plain generator: plan, example, collate, batches. No Ray, no torch."""
