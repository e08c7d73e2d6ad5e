"""Settings, keys, logging, and the catalogue of models. Imports none of our other packages."""
