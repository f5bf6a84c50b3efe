"""What can go wrong between us and RunPod, told apart by what is to be done about it."""


class RunPodError(Exception):
    """A call to RunPod came to nothing.

    Parameters
    ----------
    call
        What was asked, as `stop pod abc`.
    fault
        What came of it, as the rest of a sentence that begins with RunPod.
    remedy
        What a person can do, in full sentences.
    """

    def __init__(self, call: str, fault: str, remedy: str) -> None:
        # All three are passed on, so that the error survives pickling between worker processes.
        super().__init__(call, fault, remedy)
        self.call = call
        self.fault = fault
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.call}: RunPod {self.fault}. {self.remedy}"


class RunPodRefusedError(RunPodError):
    """The key is not valid, or may not do this (401, 403). Asking again does not help."""


class RunPodNotFoundError(RunPodError):
    """There is no such pod or template, or no longer (404)."""


class RunPodConflictError(RunPodError):
    """The pod's state does not allow this (409): a pod that has stopped cannot be stopped."""


class RunPodRejectedError(RunPodError):
    """What was asked cannot be had (400, 402, 422): no such GPU free, no money left, or a request against the rules."""


class RunPodUnavailableError(RunPodError):
    """Nobody knows (429, 5xx, no answer, an answer that makes no sense): the call may or may not have worked."""
