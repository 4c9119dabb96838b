import "./lavapipe.ts";
import { runConformance } from "@infllm/conformance";
import { findAdapter } from "../src/gpu.ts";
import { webgpuBackend } from "../src/index.ts";

/** What every adapter has: WebGPU's default limits, no features. */
const device = await (await findAdapter({})).requestDevice();

await runConformance({ name: "webgpu, f32, default limits", create: () => webgpuBackend({ device, activation: "f32" }), randomCases: 3 });
