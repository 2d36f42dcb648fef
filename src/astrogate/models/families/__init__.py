"""The rows of the families' table: a module each, its row called FAMILY."""
