// Sums over the threads of a block.
#pragma once

template <typename V>
__device__ __forceinline__ V warp_sum(V value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
  return value;
}

// The sum for every thread; blockDim.x is a multiple of 32. All threads call it.
template <typename V>
__device__ __forceinline__ V block_sum(V value) {
  __shared__ V parts[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  value = warp_sum(value);
  __syncthreads();
  if (lane == 0) parts[warp] = value;
  __syncthreads();
  return warp_sum(lane < static_cast<int>(blockDim.x) / 32 ? parts[lane] : V(0));
}
