"""What makes a posterior hard to approximate, with the sites that it is about."""
