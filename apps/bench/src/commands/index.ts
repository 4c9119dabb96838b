import type { RegisterCommand } from "@infllm/command";
import { agreement } from "./agreement.ts";
import { e2e } from "./e2e.ts";
import { kernels } from "./kernels.ts";
import { needle } from "./needle.ts";
import { perplexity } from "./perplexity.ts";
import { promises } from "./promises.ts";
import { quick } from "./quick.ts";
import { report } from "./report.ts";
import { roofline } from "./roofline.ts";
import { ruler } from "./ruler.ts";
import { longbench, reasoning } from "./task-families.ts";

/** In the order of `infllm-bench --help`. */
export const commands: readonly RegisterCommand[] = [quick, ruler, needle, longbench, reasoning, perplexity, agreement, kernels, e2e, roofline, report, promises];
