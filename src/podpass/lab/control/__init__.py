"""The lab's own door: a unix socket through which the command line asks, follows, sets faults and stops."""
