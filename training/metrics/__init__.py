"""How good a generator is: its samples against real images, and whether it drew them or copied them."""
