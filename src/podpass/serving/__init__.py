"""Sockets, requests and answers: the only shape in which podpass speaks HTTP as a server."""
