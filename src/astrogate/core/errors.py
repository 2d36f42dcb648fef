"""Errors a user can act on."""

from __future__ import annotations


class AstrogateError(Exception):
    """Something the user can mend: `problem` says what was wrong and with what value, `remedy` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}: {remedy}")
        self.problem, self.remedy = problem, remedy

    def __reduce__(self) -> tuple[type[AstrogateError], tuple[str, str]]:
        return type(self), (self.problem, self.remedy)


class AstrogateWarning(UserWarning):
    """Something that may not be what the user meant; the work goes on."""


def reason(error: BaseException) -> str:
    """What an error of any library says, in one short line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
