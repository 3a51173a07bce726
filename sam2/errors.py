"""The one error that bears two kinds."""


class NotThere(ValueError, RuntimeError):
    """What is asked for is missing: a ValueError as all bad input, and the RuntimeError that the released package raises."""
