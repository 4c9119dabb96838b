// gate * sigmoid(gate) * up
#pragma once

__device__ __forceinline__ float gated(float gate, float up) { return gate / (1.f + expf(-gate)) * up; }
