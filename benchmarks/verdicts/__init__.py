"""The verdict bench: fits whose truth is known, and how often the verdict is wrong about them."""
