"""The edge: webhooks are taken in and requests are let through, in a process of its own."""
