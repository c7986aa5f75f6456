"""Rules, one file a family of ops. A new file enters the table by itself."""
