"""The gateway's judgement: who asks, whether they may, and what the origin is told. It carries no bytes itself."""
