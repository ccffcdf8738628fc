"""From pixels to what is sent: PNG, WebP, JPEG, animations, archives and their metadata."""
