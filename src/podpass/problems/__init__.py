"""What podpass tells its user when something is wrong: what, why, and the one thing that mends it.

Problems are for people. The errors that emulated services send to clients live in each service's `errors.py`.
"""

from podpass.problems.catalogue import CATALOGUE, Problem, problem
from podpass.problems.error import PodpassError

__all__ = ["CATALOGUE", "PodpassError", "Problem", "problem"]
