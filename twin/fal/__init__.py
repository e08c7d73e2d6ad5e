"""The imitation of fal.ai's HTTP API: queue, direct runs, realtime, storage, CDN, webhooks, request list."""
