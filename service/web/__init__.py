"""The HTTP routes: reads requests, asks the engine to draw, makes answers and problem documents."""
