import type { RegisterCommand } from "@infllm/command";
import { e2e } from "./e2e.ts";
import { kernels } from "./kernels.ts";
import { needle } from "./needle.ts";
import { promises } from "./promises.ts";
import { report } from "./report.ts";
import { roofline } from "./roofline.ts";
import { ruler } from "./ruler.ts";
import { longbench, reasoning } from "./task-families.ts";

/** In the order of `infllm-bench --help`. */
export const commands: readonly RegisterCommand[] = [ruler, needle, longbench, reasoning, kernels, e2e, roofline, report, promises];
