import type { ProgramInfo } from "@infllm/command";
import { version } from "../package.json";
import { commands } from "./commands/index.ts";

export const program: ProgramInfo = {
  name: "infllm-bench",
  version,
  description: "Measures sparse attention: quality, agreement with dense, kernels and whole models. Runs resume where they stopped.",
  example: ["infllm-bench quick", "everything on the embedded model within ten minutes, with a report"],
  commands,
};
