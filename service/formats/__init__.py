"""The answer formats: encoders of images (PNG, WebP, JPEG, animations, archives), their marking and signing."""
