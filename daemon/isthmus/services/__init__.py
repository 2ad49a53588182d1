"""What other systems call: services by business domain over HTTP. `README.md` is the manual of its users."""
