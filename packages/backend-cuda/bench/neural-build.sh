#!/bin/bash
# Compiles the kernels that neural.py, linear_*.py load into bench/neural/, those whose sources changed since.
cd "$(dirname "$0")" && mkdir -p neural && for name in append-kv embed rms-norm linear linear-blocks linear-superblocks linear-stream linear-whole linear-four-bit linear-tiles linear-split pack-weight rotate swiglu sample; do
  cubin=neural/$name.cubin
  [ -f $cubin ] && [ -z "$(find ../kernels/$name.cu ../kernels -name '*.cuh' -newer $cubin -o -path ../kernels/$name.cu -newer $cubin)" ] && continue
  nice -n 15 nvcc -O3 -std=c++17 -gencode arch=compute_90a,code=sm_90a -cubin -o $cubin ../kernels/$name.cu || exit 1
done
