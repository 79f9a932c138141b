"""What podpass says of itself: logs without secrets, metrics, health."""
