"""What the queue refuses, by name."""

from labeling.errors import BadInput, ErrorKind, LabelingError, Unavailable


class UnknownItem(BadInput):
    """No review item has this id or identity."""

    def __init__(self, message: str, reason: str = "unknown_item") -> None:
        super().__init__(message, reason)


class ItemHeld(LabelingError):
    """Another reviewer holds a live lease on the item."""

    def __init__(self, message: str, reason: str = "item_held") -> None:
        super().__init__(message, reason)


class AlreadySettled(LabelingError):
    """The item is decided or closed: nothing is left to claim or decide."""

    def __init__(self, message: str, reason: str = "already_settled") -> None:
        super().__init__(message, reason)


class NeedsSenior(LabelingError):
    """Reviewers disagree on the item: only a senior can take it."""

    def __init__(self, message: str, reason: str = "needs_senior") -> None:
        super().__init__(message, reason)


class OthersLease(LabelingError):
    """The lease was given to another reviewer than the one who decides with it."""

    def __init__(self, message: str, reason: str = "others_lease") -> None:
        super().__init__(message, reason)


class LostLease(LabelingError):
    """The lease ran out, was released, or its item was closed; a decision that came with it is kept as a draft.

    `draft_id` is the draft's, or None where no work came with the call.
    """

    def __init__(self, message: str, reason: str = "lost_lease", draft_id: int | None = None) -> None:
        super().__init__(message, reason)
        self.draft_id = draft_id


class WrongRevision(Unavailable):
    """The database was written by a newer version of this package; no retry mends that."""

    kind = ErrorKind.POISON

    def __init__(self, message: str, reason: str = "wrong_revision") -> None:
        super().__init__(message, reason)
