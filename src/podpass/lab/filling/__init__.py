"""Makes a scenario so in a lab's clouds, and says what is in them as a scenario.

One module per kind of thing, each with both directions side by side: `put_…` gives an entry to the service it ends in,
through the service's own rules; `…_there` says what is there as the entry that would make it. `parts` lists them all.
"""

from podpass.lab.filling.clouds import Clouds
from podpass.lab.filling.filling import Filling, Operator

__all__ = ["Clouds", "Filling", "Operator"]
