"""The one error that a user's mistake raises: the command line prints its message as a single line."""


class UserError(ValueError):
    """A mistake in a file, a line, a config key or a checkpoint: what was wrong, where, and the remedy, in one line."""
