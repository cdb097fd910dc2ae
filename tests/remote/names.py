"""The bucket of the tests, and the secret by which it is reached."""

BUCKET = "bucket"
SECRET = "a-secret-that-is-written-nowhere"
