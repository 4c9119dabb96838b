#!/bin/bash
# Compiles the kernels that neural.py and linear_hopper.py load into bench/neural/.
cd "$(dirname "$0")" && mkdir -p neural && for name in append-kv embed rms-norm linear linear-blocks linear-superblocks linear-stream linear-four-bit linear-tiles linear-split pack-weight rotate swiglu sample; do
  nice -n 15 nvcc -O3 -std=c++17 -gencode arch=compute_90a,code=sm_90a -cubin -o neural/$name.cubin ../kernels/$name.cu || exit 1
done
