"""What a picture shows: objects, points, masks, and words about it. A module for tasks that belong together."""
