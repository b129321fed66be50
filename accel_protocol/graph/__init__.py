"""What this project reads of other projects' graph formats."""
