import { library } from "@infllm/tsup-preset";

// The declarations name WebGPU's types, which not every TypeScript has.
export default library({ entry: { index: "src/index.ts", measure: "src/measure.ts" }, dts: { banner: '/// <reference types="@webgpu/types" />' } });
