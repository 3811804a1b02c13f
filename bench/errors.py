"""The one error a user can cause. Apart from `contracts` so that naming it costs no import of torch."""


class UsageError(Exception):
    """What a user can do wrong. Its text is one line: what is wrong, where, what to do. The command line exits with 2."""


class RunFailed(Exception):
    """A run that cannot go on through no fault of the command (a loss that is not finite). One line; exit code 1."""


class Interrupted(Exception):
    """Work that is left where it is, to be taken up again: somebody asked for that."""
