import { runConformance } from "@infllm/conformance";
import { cpuBackend } from "../src/index.ts";

await runConformance({ name: "cpu, SIMD, 1 thread", bitwiseChunks: true, create: () => cpuBackend({ threads: 1, simd: "simd" }) });
await runConformance({ name: "cpu, best SIMD, 2 threads", bitwiseChunks: true, create: () => cpuBackend({ threads: 2 }) });
