"""Who may ask the server, for which models, and how many at once; told apart from the doors."""
