"""The parts of an engine on servers: what is sent and read, attempts, rests, and requests in flight."""
