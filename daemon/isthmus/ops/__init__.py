"""What the people who run isthmus see: metrics, health, logs, and what systemd is told."""
