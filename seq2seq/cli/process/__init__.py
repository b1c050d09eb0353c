"""What is around a command: its streams, signals and threads, and files that are whole or not there at all."""
