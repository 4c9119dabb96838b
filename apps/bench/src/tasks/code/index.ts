import type { Task } from "../task.ts";
import { humaneval } from "./humaneval.ts";
import { livecodebench } from "./livecodebench.ts";

/** Programs, run in a sandbox. */
export const codeTasks: readonly Task[] = [humaneval, livecodebench];
