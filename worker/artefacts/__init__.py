"""Files: fetched, verified, stored, and handed out under our own signed URL."""
