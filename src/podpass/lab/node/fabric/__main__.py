"""Starts the helper process: `python -I -S <this directory> FD sandbox|plain`."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podpass.lab.node.fabric.serving import main
else:
    # A package of its own here: below `podpass` the packages around it would be run as well. Last on the path, so
    # that nothing beside it is taken for a module of the standard library.
    sys.path[0:1] = []
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from fabric.serving import main

main(sys.argv[1:])
