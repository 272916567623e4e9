"""The search: which backbone, resolution, recipe and precision are best within what a device allows."""
