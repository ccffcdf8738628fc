#!/bin/sh
# Fill /opt/nelumbo, which has no pip of its own, with a lock's wheels and our own, and list them in an SBOM.
set -eu
pip="/opt/build/bin/pip --python /opt/nelumbo/bin/python install --only-binary :all: --no-deps"
$pip --require-hashes --requirement "$1"
$pip dist/*.whl
/opt/build/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
    --output-file /opt/nelumbo/sbom.cdx.json /opt/nelumbo/bin/python
