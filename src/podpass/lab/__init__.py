"""The lab: a cloud and a cluster on one machine, with the real protocols and no way out."""
