"""The models and the queue of images: from seeds and latents to pixels."""
