"""What is wrong with a place elsewhere, and what a person can do about it."""


class RemoteError(Exception):
    """A place that cannot be reached, read or written: which, why, and what to do.

    Parameters
    ----------
    url
        The place; it holds no password.
    fault
        What is wrong with it, as the rest of a sentence that begins with it.
    remedy
        What a person can do, in full sentences.
    """

    def __init__(self, url: str, fault: str, remedy: str) -> None:
        super().__init__(url, fault, remedy)
        self.url = url
        self.fault = fault
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.url} {self.fault}. {self.remedy}"
