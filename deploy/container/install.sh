#!/bin/sh
# Fill /opt/nelumbo, which has no pip of its own, with a lock's wheels and our own. Then list what is in it and in /models:
# packages and models in an SBOM, every file in SHA256SUMS.
set -eu
pip="/opt/build/bin/pip --python /opt/nelumbo/bin/python install --only-binary :all: --no-deps"
$pip --require-hashes --requirement "$1"
$pip dist/*.whl
sbom=/opt/nelumbo/sbom.cdx.json
/opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
    --output-file $sbom /opt/nelumbo/bin/python
PYTHONDONTWRITEBYTECODE=1 /opt/nelumbo/bin/python add_models.py $sbom /models
find /opt/nelumbo /models -type f -print0 | sort -z | xargs -0 sha256sum > SHA256SUMS
mv SHA256SUMS /opt/nelumbo
