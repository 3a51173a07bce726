"""The error of a call that asks for what is not there."""


class NotThere(ValueError, RuntimeError):
    """What is asked for is missing: a ValueError as all bad input, and the RuntimeError that the released package raises."""
