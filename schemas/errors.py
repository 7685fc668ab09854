"""The errors a user can mend: shown as one line, never as a traceback."""


class UserError(Exception):
    """Something the user gave cannot be worked with: the message names the input, what is wrong and what to do."""

    exit_code = 1


class LostDeviceError(UserError):
    """The device that this process computes on does nothing for it any more: no other part could be done either."""


class UsageError(UserError):
    """The command line or the configuration is wrong."""

    exit_code = 2
