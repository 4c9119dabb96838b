import "./lavapipe.ts";
import { runConformance } from "@infllm/conformance";
import { webgpuBackend } from "../src/index.ts";

await runConformance({ name: "webgpu, f16", create: () => webgpuBackend({ activation: "f16" }), randomCases: 2 });
