"""Files: found, downloaded, checked, stored and signed; and those that go with a call."""
