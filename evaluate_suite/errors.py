"""What goes wrong without anyone being at fault."""


class NotSupportedError(TypeError):
    """A model has not what was asked of it; the message is the reason, which a report gives under `skipped`.

    An encoder raises it, and a task that needs what it lacks is left out; any other `TypeError` is a fault.
    """
