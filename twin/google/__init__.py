"""The imitation of Google: Vertex AI (now Gemini Enterprise Agent Platform), the Gemini API, and OAuth tokens."""
