from pathlib import Path

DATA = Path(__file__).parent / "data"
DIGITS = DATA / "digits-images-idx3-ubyte.gz"  # 400 of them, 28×28
