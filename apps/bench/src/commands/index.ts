import type { RegisterCommand } from "@infllm/command";
import { e2e } from "./e2e.ts";
import { kernels } from "./kernels.ts";
import { promises } from "./promises.ts";

/** In the order of `infllm-bench --help`. */
export const commands: readonly RegisterCommand[] = [kernels, e2e, promises];
