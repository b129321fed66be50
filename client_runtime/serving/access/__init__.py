"""Who may ask the server, and for which models: API keys, told apart from how requests arrive."""
