"""Good requests, from which bad ones are made."""

BODIES = [
    {"seed": 42, "format": "png"},
    {"model": "grey@1", "seed": 0, "n": 4, "scale": 2},
    {"model": "letters", "seed": 0, "classes": ["A", "Ça"], "truncation": 0.7, "directions": {"weight": 1.5, "1": -1}},
    {"model": "letters", "seeds": [1, 2], "class": "B", "scale": 8, "resample": "lanczos"},
    {"seeds": [1, 5, 4294967295]},
    {"latent": [0.5, -1e-3, 3.0, 0, 0, 0, 0, 0]},
    {"latents": [[0.1] * 8, [-2.5] * 8]},
    {},
]
WALKS = [
    {"from": 1, "to": 2, "format": "webp"},
    {"from": [0.5] * 8, "to": 4, "steps": 3, "path": "linear", "form": "strip"},
    {
        "model": "letters",
        "points": [1, 2, [0.5] * 8],
        "loop": True,
        "seconds": 4,
        "classes": ["A", "B"],
        "format": "gif",
    },
]
ARRAYS = [
    {"latents": [[1] * 8], "labels": [0], "truncation": 0.7, "directions": [1]},
    {"latents": [[0.5, -1e-3, 3.0, 0, 0, 0, 0, 0]]},
    {"latents": [[1] * 8] * 64},
]
QUERIES = ["/images/g@1/1.png?truncation=0.7", "/?a=1&a=%41&&=;b", "?truncation=1&truncation=2", "/%0A?" + "&" * 99]
IMAGES = [
    "42.png?truncation=0.7",
    "1.png?class=A&d0=1.5&d15=-1&scale=2&resample=pixels",
    "4294967295.webp",
    "0.jpg?truncation=2",
    "1.png",
]
