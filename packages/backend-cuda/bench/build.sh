#!/bin/bash
# Builds the lab library next to this script; -DLAB leaves out all variants but bf16, group 16, head_dim 128.
cd "$(dirname "$0")" && nice -n 15 nvcc -O3 -std=c++17 -gencode arch=compute_90a,code=sm_90a "$@" -cudart static \
  -Xcompiler -fPIC -Xcompiler -static-libstdc++ -Xcompiler -static-libgcc -shared -o "${LAB:-liblab.so}" lab.cu lab-general.cu
