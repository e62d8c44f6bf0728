"""What the page shows, as plain data. Pure; time is passed in."""
