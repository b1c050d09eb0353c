"""The command line: one small file a command, `main` in front of them.

What they share knows only what stands above it:

    keys/       what a person types: keys and their values, short names, hints, errors in one line
    process/    what is around: streams, signals, threads, files that are whole or not there
    training/   what `train` does: runs planned, begun, resumed, swept, reported
"""
