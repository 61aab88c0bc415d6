"""Documents: reading them from files, folders and collections."""
