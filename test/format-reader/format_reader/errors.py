"""The one way in which this reader says no."""


class Refusal(Exception):
    """What is not read, by a reason of docs/operations/reasons.md and where it lies."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
