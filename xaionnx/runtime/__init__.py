"""Running a model: sessions, batches, and the limits of a run."""
