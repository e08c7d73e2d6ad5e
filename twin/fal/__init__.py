"""The imitation of fal.ai: queue, direct runs, realtime, storage, CDN and webhooks, as the wire has them."""
