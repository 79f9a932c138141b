"""What a component is told at start: options as a table, read from flags, environment, a file and defaults."""
