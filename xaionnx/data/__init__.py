"""What users bring: pictures, tables and arrays, and the spec that says how a model reads them."""
