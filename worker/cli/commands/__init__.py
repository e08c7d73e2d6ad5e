"""What each command does: one file a command; a large command has more files with its name as prefix."""
