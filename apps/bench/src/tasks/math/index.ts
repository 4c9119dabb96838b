import type { Task } from "../task.ts";
import { aime } from "./aime.ts";
import { math500 } from "./math500.ts";

/** Problems whose boxed answers are compared as mathematics. */
export const mathTasks: readonly Task[] = [math500, aime];
