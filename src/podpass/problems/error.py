"""The one exception that reaches the user as a sentence instead of a traceback."""

from podpass.problems.catalogue import Problem, problem


class PodpassError(Exception):
    """Something the user can mend. The command line prints it as `podpass: error:`, `cause:`, `hint:`, code.

    *code* names an entry of the catalogue; *values* fill the braces in its cause and remedy.
    """

    def __init__(self, code: str, message: str = "", **values: object) -> None:
        self.problem: Problem = problem(code)
        self.values = values
        super().__init__(message or self.problem.title)

    @property
    def cause(self) -> str:
        return self.problem.cause_for(**self.values)

    @property
    def hint(self) -> str:
        return self.problem.remedy_for(**self.values)

    def members(self) -> dict[str, object]:
        """As JSON, from which another process can raise it again."""
        values = {name: str(value) for name, value in self.values.items()}
        return {"error": str(self), "code": self.problem.code, "values": values}
