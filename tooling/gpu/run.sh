#!/bin/sh
# On the machine with the GPU: unpacks Node, finds the data, runs checks and benchmarks, writes verified.json.
# Arguments: any of check, model, fixtures, unions, bench, lab (needs torch), e2e (with torch beside it where there is one), sanitize (needs compute-sanitizer); all without. OUT names the folder for the record.
set -e
pack=$(cd "$(dirname "$0")" && pwd)
work=${TMPDIR:-/tmp}/infllm-gpu
mkdir -p "$work"
archive=$(ls "$pack"/node-*.xz | head -n 1)
test -x "$work/node" || { xz -dc "$archive" > "$work/node" 2>/dev/null || python3 -c "import lzma,shutil,sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))" "$archive" "$work/node"; }
chmod +x "$work/node"
rm -rf "$work/pack"
mkdir "$work/pack"
cp -r "$pack/dist" "$pack/data" "$pack/node_modules" "$work/pack/"
repository=$(cd "$pack/../../.." && pwd)
link() { # folder in the pack, the same in the repository
  if [ -d "$pack/$1" ]; then cp -r "$pack/$1" "$work/pack/"; elif [ -d "$repository/$2" ]; then ln -s "$repository/$2" "$work/pack/$1"; fi
}
cp "$repository/packages/backend-cuda/verified.json" "$work/pack/earlier.json" 2>/dev/null || true
link goldens packages/conformance/goldens
link reference packages/tiny-model/reference
link text packages/demo-text/data
link hf packages/model/test/fixtures/hf
python3 -c "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])" "$pack/bench.tar.xz" "$work/pack"
if [ ! -f "$work/pack/data/model.safetensors" ] && [ -d "$repository/packages/tiny-model/data" ]; then
  cp "$repository"/packages/tiny-model/data/* "$work/pack/data/"
fi
exec "$work/node" "$work/pack/dist/main.mjs" "$@"
