"""Good requests, from which bad ones are made."""

BODIES = [
    {"seed": 42, "format": "png"},
    {"model": "grey@1", "seed": 0, "n": 4, "truncation": 0.7},
    {"seeds": [1, 5, 4294967295]},
    {"latent": [0.5, -1e-3, 3.0, 0, 0, 0, 0, 0]},
    {"latents": [[0.1] * 8, [-2.5] * 8]},
    {},
]
WALKS = [
    {"from": 1, "to": 2, "format": "webp"},
    {"from": [0.5] * 8, "to": 4, "steps": 3, "path": "linear", "form": "strip", "truncation": 1.5},
]
IMAGES = ["42.png?truncation=0.7", "4294967295.webp", "0.jpg?truncation=2", "1.png"]
