"""The command line: one small file a command, `main` in front of them."""
