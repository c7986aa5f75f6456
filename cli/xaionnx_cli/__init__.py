"""The command line of xaionnx: one file a command."""
