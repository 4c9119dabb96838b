import type { RegisterCommand } from "@infllm/command";
import { kernels } from "./kernels.ts";
import { promises } from "./promises.ts";

/** In the order of `infllm-bench --help`. */
export const commands: readonly RegisterCommand[] = [kernels, promises];
