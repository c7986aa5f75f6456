"""What is known of each op: every file lists its entries as OPS. A new op is a file of its own."""
