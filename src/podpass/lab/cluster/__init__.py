"""The Kubernetes API of the lab: discovery, objects, watches, admission, and the controllers a cluster needs."""
