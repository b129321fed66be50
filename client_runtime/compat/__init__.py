"""Old names for new things, so that scripts written for the original run unchanged."""
