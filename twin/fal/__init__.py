"""The imitation of fal.ai: queue, direct runs, realtime, storage, CDN, webhooks, request list, as the wire has them."""
