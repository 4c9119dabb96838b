#!/bin/sh
# On the machine with many cores: unpacks Node, finds the weights and the book in the repository around, runs the suites.
# OUT names the folder for the result lines; earlier ones are read from done/ beside this file. Arguments go to main.mjs.
set -e
pack=$(cd "$(dirname "$0")" && pwd)
repository=$(pwd)
work=${TMPDIR:-/tmp}/infllm-bench
mkdir -p "$work/app/dist" "$work/app/data" "${OUT:?names the folder for the results}"
archive=$(ls "$pack"/node-*.xz | head -n 1)
test -x "$work/node" || { xz -dc "$archive" > "$work/node" 2>/dev/null || python3 -c "import lzma,shutil,sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], 'wb'))" "$archive" "$work/node"; }
chmod +x "$work/node"
cp "$pack"/dist/*.mjs "$work/app/dist/"
cp "$repository"/packages/tiny-model/data/* "$repository"/packages/demo-text/data/moby-dick.txt "$work/app/data/"
INFLLM_BENCH_COMMIT=$(cat "$pack/commit")
export INFLLM_BENCH_COMMIT
exec "$work/node" "$work/app/dist/main.mjs" --program "$work/app/dist/bench.mjs" --work "$work" --done "$pack/done" --out "$OUT" "$@"
