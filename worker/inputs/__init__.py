"""Files that go with a call: found, brought, checked, and made to fit what a provider takes."""
