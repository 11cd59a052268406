"""What a task's number is held against: models without the image, and the same model with a wrong image."""


class NotComputable(ValueError):
    """A control that the data does not allow; the message is the reason that the report gives."""
