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
ARRAYS = [{"latents": [[0.5, -1e-3, 3.0, 0, 0, 0, 0, 0]]}, {"latents": [[1] * 8] * 64}]
QUERIES = ["/images/g@1/1.png?truncation=0.7", "/?a=1&a=%41&&=;b", "?truncation=1&truncation=2", "/%0A?" + "&" * 99]
IMAGES = ["42.png?truncation=0.7", "4294967295.webp", "0.jpg?truncation=2", "1.png"]
