"""Those who make the pieces: one interface, one file a provider."""
