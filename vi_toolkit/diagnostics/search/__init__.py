"""Where else the posterior has mass than where q has draws."""
