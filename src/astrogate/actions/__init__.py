"""Requests in, results out: what the command line, a notebook or a server asks for, and how it is done."""
