"""A folder of images -> a run folder with a trained generator. Knows nothing of export/ and service/."""
